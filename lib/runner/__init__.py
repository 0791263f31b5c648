"""Runs the notebooks, checks the machine, keeps and verifies reference runs."""
