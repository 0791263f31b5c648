"""Seed curation, one module per concern: extraction, rules, decontamination, near-duplicates, type check, judge."""
