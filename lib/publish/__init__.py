"""What is published with a run: cards, the data set, its metadata, where the seeds come from."""
