"""Seed curation, one module a concern: extraction, quality filters, decontamination, near-duplicates."""
