"""The template as tokens: chat template, loss mask, held-out split, and answers in the template."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.core.records import Record, StudyError
from lib.core.template import SYSTEM, render_example, render_prompt
from lib.core.text import UNENCODABLE, control_tokens, encodable, speller
from lib.core.tokenizer import beginning, open_tokenizer

IGNORED = -100  # the label that PyTorch's cross entropy ignores
TOO_LONG, UNSPELLED = "too long", "control token that cannot be spelled out"


def chat_template(bos: str = "") -> str:
    """Return the Jinja template that renders a conversation exactly as render_prompt and render_example do."""
    return (
        "{%- for m in messages if m['role'] not in ('user', 'assistant') -%}"
        "{{ raise_exception('the template knows the roles user and assistant only') }}{%- endfor -%}"
        "{{ " + json.dumps(bos + SYSTEM) + " }}"
        "{%- for m in messages -%}"
        "{%- if m['role'] == 'user' -%}{{ '\\n\\n### Instruction\\n' + m['content'] | trim }}"
        "{%- else -%}{{ '\\n\\n### Response\\n' + m['content'] | trim + eos_token }}{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '\\n\\n### Response\\n' }}{%- endif -%}"
    )


def load_tokenizer(path: Path) -> Any:
    """Return the model's tokenizer with the study's chat template.

    Raises StudyError when it has no EOS token, or code does not survive it (`lib.core.tokenizer`).
    """
    tokenizer = open_tokenizer(path)
    if tokenizer.eos_token_id is None:
        raise StudyError(
            f"the tokenizer in {path} declares no EOS token, so no response could end: choose another MODEL"
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # padding is masked, whichever token it is
    tokenizer.chat_template = chat_template("".join(tokenizer.convert_ids_to_tokens(bos_ids(tokenizer))))
    return tokenizer


def bos_ids(tokenizer: Any) -> list[int]:
    """Return [BOS] if the tokenizer itself puts one before every text, else []: some define one and never use it."""
    return beginning(lambda text, special: tokenizer(text, add_special_tokens=special).input_ids)


def encode(examples: Sequence[Record], tokenizer: Any, max_length: int) -> tuple[list[Record], Counter[str]]:
    """Tokenize examples into rows {id, input_ids, labels}; return them sorted by id, and why others were dropped.

    Prompt and response are tokenized separately, so that the border between them is the same in training and in
    generation; labels are IGNORED on the prompt and equal to input_ids on the response and its EOS (both as in the
    official train.py). The only control tokens in a row are BOS and EOS: those in its text are spelled out.
    Raises StudyError for an empty response and when no row is left.
    """
    spelled, control, first = speller(tokenizer), control_tokens(tokenizer), bos_ids(tokenizer)
    rows, dropped = list[Record](), Counter[str]()
    for example in sorted(examples, key=lambda example: example["id"]):
        prompt, response = render_example(example["instruction"], example["response"])
        if not response:
            raise StudyError(f"example {example['id']} has an empty response: run notebook 03 again")
        if not encodable(prompt + response):
            dropped[UNENCODABLE] += 1
            continue
        asked, answered = spelled(prompt), spelled(response)
        before, trained = first + asked, [*answered, tokenizer.eos_token_id]
        if any(control[token] in prompt + response for token in control.keys() & {*asked, *answered}):
            dropped[UNSPELLED] += 1
        elif len(before) + len(trained) > max_length:
            dropped[TOO_LONG] += 1
        else:
            labels = [IGNORED] * len(before) + trained
            rows.append({"id": example["id"], "input_ids": before + trained, "labels": labels})
    if not rows:
        why = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise StudyError(
            f"none of {len(examples)} examples can be trained on ({why}): raise MAX_LENGTH or run 03 on more"
        )
    return rows, dropped


def split(rows: Sequence[Record], held_out: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Return (training rows, held-out rows) after a seeded shuffle; at least one row is held out."""
    count = max(1, round(held_out * len(rows)))
    if count >= len(rows):
        raise StudyError(f"{len(rows)} example(s) cannot be split with HELD_OUT={held_out}: lower it or run 03 on more")
    shuffled = sorted(rows, key=lambda row: row["id"])
    random.Random(seed).shuffle(shuffled)
    return shuffled[count:], shuffled[:count]


def answers(path: Path, instructions: Sequence[str], max_tokens: int) -> list[str]:
    """Return the greedy responses of the model in `path`, of at most `max_tokens` tokens each, with special tokens."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    tokenizer = load_tokenizer(path)
    tokenizer.padding_side = "left"
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    # The base model's own settings, such as a repetition penalty, would otherwise apply.
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    spelled, first = speller(tokenizer), bos_ids(tokenizer)
    prompts = [first + spelled(render_prompt(instruction)) for instruction in instructions]
    inputs = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    new = output[:, inputs["input_ids"].shape[1] :].tolist()
    end = tokenizer.eos_token_id
    return [tokenizer.decode(ids[: ids.index(end) + 1] if end in ids else ids) for ids in new]
