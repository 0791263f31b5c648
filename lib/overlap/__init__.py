"""What texts share: near-duplicates, n-grams, fingerprints of benchmarks, contamination."""
