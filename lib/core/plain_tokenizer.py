"""The class of a tokenizer that takes everything from tokenizer.json, as models that need one bring it along."""

from transformers import PreTrainedTokenizerFast


class Plain(PreTrainedTokenizerFast):
    """What tokenizer.json describes, whatever the kind of model."""
