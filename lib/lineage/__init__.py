"""Lineage: a training example followed back to the line of source code that inspired it."""
