"""Comparisons of answers with expected ones; their source is sent into the box."""
