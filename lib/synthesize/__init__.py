"""Methods to make training data: Self-OSS-Instruct, with its prompts and exemplars."""
