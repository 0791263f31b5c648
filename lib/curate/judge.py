"""A model as a judge: does a docstring alone suffice to write its function? (paper, appendix B)."""

import ast
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.core.markdown import fenced, sections
from lib.core.paths import ROOT
from lib.core.records import Journal, Record, StudyError, content_id
from lib.generate import Engine, Request, complete
from lib.generate.few_shot import NEXT_EXAMPLE, prompt

FOLDER = ROOT / "data" / "judge"
REPLY_TOKENS = 5  # official filter_dataset.py: greedy, five tokens, up to the end of the line
QUESTION = "Could the function be written again from the description alone? Answer:"


@dataclass(frozen=True)
class Judged:
    """A judged example; `code` is fenced and has no docstring, `answer` is "Yes." or "No." and the reason."""

    id: str
    code: str
    description: str
    answer: str


def load_judged(folder: Path = FOLDER) -> list[Judged]:
    """Return the judge's examples sorted by id (official: four Yes, three No); StudyError names what a file lacks."""
    found = []
    for path in sorted(folder.glob("[0-9]*.md")):
        parts = sections(path.read_text(encoding="utf-8-sig"))
        if lacking := [name for name in ("code", "description", "answer") if not parts.get(name)]:
            raise StudyError(f"{path} has no {lacking[0]}; see its neighbours for the layout")
        if not parts["answer"].startswith(("Yes. ", "No. ")):
            raise StudyError(f'{path}: its answer must begin with "Yes. " or "No. "')
        found.append(Judged(path.stem, parts["code"], parts["description"], parts["answer"]))
    return found


def load_system(folder: Path = FOLDER) -> str:
    """Return the text at the start of every prompt of the judge."""
    return (folder / "system.md").read_text(encoding="utf-8-sig").strip()


def without_docstring(code: str) -> str:
    """Return a seed's code without the docstring of its function; all else stays as it is, comments included."""
    function = next(n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    docstring = function.body[0]
    assert docstring.end_lineno is not None and docstring.end_col_offset is not None
    lines = [line.encode() for line in code.split("\n")]  # offsets count bytes of UTF-8
    first, last = docstring.lineno - 1, docstring.end_lineno - 1
    before = lines[first][: docstring.col_offset]
    after = lines[last][docstring.end_col_offset :].lstrip(b" \t;")
    if len(function.body) == 1:
        after = b"pass  " + after
    rest = [(before + after).rstrip()] if (before + after).strip() else []
    return b"\n".join([*lines[:first], *rest, *lines[last + 1 :]]).decode()


def judge_prompt(system: str, examples: Sequence[Judged], seed: Record) -> str:
    """Return the prompt: the examples with their answers, and a seed without one.

    The official prompt shows the code first. In small trials the 0.5B model preferred true descriptions to swapped
    ones more often with the description first; either way it says Yes to most.
    """
    layout = "### Description\n{}\n\n### Code\n{}\n\n### Verdict\n" + QUESTION
    answered = [f"{layout.format(one.description, one.code)} {one.answer}" for one in examples]
    return prompt(system, answered, layout.format(seed["docstring"], fenced(without_docstring(seed["code"]))))


def deck(exemplars: Sequence[Judged], order: int) -> list[Judged]:
    """Return all examples in the shuffled order with the number `order`.

    The official code shuffles for every query. With one order for all, the engine reads the examples once; a second
    order shows how much the verdicts depend on it.
    """
    return random.Random(content_id("judge", order)).sample(list(exemplars), len(exemplars))


def decision(text: str) -> bool:
    """Return whether a completion says yes more often than no; a tie is a no, as in the official code.

    The official code counts substrings, so that "nothing" counts as a no; here whole words are counted.
    """
    words = Counter(re.findall(r"[a-z]+", text.lower()))
    return words["yes"] > words["no"]


def judge(
    engine: Engine,
    cache: Journal,
    exemplars: Sequence[Judged],
    system: str,
    seeds: Sequence[Record],
    order: int,
) -> dict[str, bool]:
    """Return {seed id: whether its docstring suffices}, judged with the examples in the order with the number `order`.

    A seed has `id`, `code` and `docstring`. One whose prompt is too long for the judge has no verdict. It is the engine
    that says so: its window is `max_model_len`, at most what the model's configuration allows (the official code gives
    vLLM no other, so its 16,384 tokens are StarCoder2-15B's, and drops prompts over 16,380).
    """
    examples = deck(exemplars, order)
    requests = [
        Request(judge_prompt(system, examples, seed), 0.0, REPLY_TOKENS, ("\n", NEXT_EXAMPLE)) for seed in seeds
    ]
    completions = zip(seeds, complete(engine, requests, cache, "judging docstrings"), strict=True)
    return {seed["id"]: decision(made["text"]) for seed, made in completions if made["finish_reason"] != "too long"}


def agreement(one: Mapping[str, bool], other: Mapping[str, bool]) -> dict[str, float | None]:
    """Compare two sets of verdicts on the seeds in both: their number, the share that agrees, and Cohen's kappa.

    Kappa, from -1 to 1, is the agreement beyond that of two such judges by chance; None when they would always agree
    by chance, or when they share no seed.
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return {"n": 0, "agree": None, "kappa": None}
    agree = sum(one[key] == other[key] for key in shared) / len(shared)
    first, second = (sum(verdicts[key] for key in shared) / len(shared) for verdicts in (one, other))
    chance = first * second + (1 - first) * (1 - second)
    return {"n": len(shared), "agree": agree, "kappa": (agree - chance) / (1 - chance) if chance < 1 else None}
