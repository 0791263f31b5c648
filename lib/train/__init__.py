"""Supervised fine-tuning: template, packed batches, trainer, recipe."""
