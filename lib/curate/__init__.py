"""Seed curation, one module a concern: extraction, rules, decontamination, near-duplicates, type check, judge."""
