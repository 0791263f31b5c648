"""Ask a tuned model in the terminal: `python -m lib.train.chat --run laptop`. Every question stands alone."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lib.core.cli import command
from lib.core.models import resolve
from lib.core.paths import run_folder, shown
from lib.core.records import StudyError
from lib.core.study import only
from lib.core.text import speller
from lib.train.template import bos_ids, load_tokenizer, render_prompt

TOKENS = 400  # of an answer at most


def answer(path: Path, questions: Iterable[str], max_tokens: int = TOKENS) -> None:
    """Print the greedy answer of the model in `path` to each question, token by token, in the study's template."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, TextStreamer

    tokenizer = load_tokenizer(path)
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    # The base model's own settings, such as a repetition penalty, would otherwise apply.
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    spelled, first = speller(tokenizer), bos_ids(tokenizer)
    for question in questions:
        ids = torch.tensor([first + spelled(render_prompt(question))])
        streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        model.generate(
            ids, attention_mask=torch.ones_like(ids), streamer=streamer, max_new_tokens=max_tokens, do_sample=False
        )


def asked() -> Iterator[str]:
    """Yield the lines of standard input that hold something, after a prompt where a person types them."""
    while True:
        if sys.stdin.isatty():
            print("\n> ", end="", flush=True)
        if not (line := sys.stdin.readline()):
            return
        if line.strip():
            yield line.strip()


def tuned(run: str) -> Path:
    """Return the model that a run tuned; StudyError while there is none."""
    path = run_folder(run) / only("training") / "model"
    if not (path / "config.json").is_file():
        raise StudyError(f"{shown(path)} has no model yet: run `make study`, or name another model with --model")
    return path


def main() -> None:
    """Read the command line, then questions until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m lib.train.chat", description=__doc__)
    parser.add_argument("--run", default="laptop", help="the run whose tuned model is asked")
    parser.add_argument("--model", default="", help="or a model: an embedded name, a hub id or a folder")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of an answer at most")
    given = parser.parse_args()
    path = resolve(given.model).path if given.model else tuned(given.run)
    print("Nothing that the model answers is run or tested. An empty line is skipped; Ctrl-D ends.", file=sys.stderr)
    answer(path, asked(), given.tokens)


if __name__ == "__main__":
    command(main)
