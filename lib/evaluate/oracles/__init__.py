"""Comparisons of answers with expected ones, sent into the box as text."""
