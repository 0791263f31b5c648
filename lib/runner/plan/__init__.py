"""What a run of a profile would need, reckoned before it starts: `make plan` (no weights are read)."""
