"""The helper library of the SelfCodeAlign study: the notebooks show the ideas, this package does the work."""
