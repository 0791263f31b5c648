"""Experiments: arms on one budget, from a recorded pool to a comparison that says what it could have shown."""
