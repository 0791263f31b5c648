"""Requests that several engines are asked, so that their completions can be compared."""

from lib.generate import Request

NAME = "smollm2-135m-instruct"  # of what is embedded, the one that is loaded in the shortest time
# What shares a step with a sequence changes how its numbers are rounded. In bfloat16 that decides between two tokens
# now and then; in float32 the difference is so small that completions of different batches are compared for equality.
DTYPE = "float32"

STARTS = ["def add(a, b):", "import os\n\n\ndef size(path):", "class Stack:", "# Fibonacci numbers, one per line\n"]
SERVED = [Request(start, 0.0, 24, ("\n\n",)) for start in STARTS * 2]
NAMES = ("sum", "mean", "median", "maximum", "minimum", "product", "variance", "range")
HEADS = [f"def {name}_{n}(numbers):" for n in (1, 2) for name in NAMES]
PROMPTS = [f'{head}\n    "Return it for a list of numbers."\n' for head in HEADS]
SPREAD = [Request(prompt, 0.0, 24, ("\n\n",), seed=n or None) for n, prompt in enumerate(PROMPTS)]
