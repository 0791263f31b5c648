"""OSS-Instruct (Wei et al. 2024, Magicoder): a snippet inspires a problem and its solution in one answer, no tests.

The baseline of the paper's Table 11. Asked of the model that is tuned it is self-generated and so the fair variant; of
a teacher (`TEACHER` elsewhere) it is distillation, as published with GPT-3.5. Seeds are windows of 1 to 15 lines of a
document (`window`). The answer has two sections; what is cleaned away is what magicoder's clean_data.py drops. As the
embedded models continue text, they are shown exemplars of the study; the published prompt has none. The texts are the
study's own.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence

from lib.core.markdown import blocks
from lib.core.records import Journal, Record, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.generate import Engine, complete
from lib.generate.few_shot import NEXT_EXAMPLE, prompt
from lib.generate.protocol import unfinished
from lib.overlap.contamination import Contamination
from lib.synthesize.exemplars import Deck, Decks, Exemplar
from lib.synthesize.self_oss_instruct import Sampling, Step, fitting, generated, require_records

WINDOW_LINES = (1, 15)  # of a seed (paper of OSS-Instruct, section 2.1)
SECTIONS = ("[Problem Description]", "[Solution]")
SYSTEM = (
    "You write programming problems of high quality, and solutions that are exact. Take each snippet of code as an "
    "inspiration only. The problem must be complete in itself: whatever one has to know to solve it, and what is not "
    "common knowledge among programmers, is said in it. The solution is correct, in Python, and explains itself."
)


def window(text: str, seed: object) -> str | None:
    """Return 1 to 15 consecutive lines of a document, place and length drawn evenly; None when they say nothing."""
    lines = text.splitlines()
    if not lines:
        return None
    draw = random.Random(content_id("window", seed))
    start = draw.randrange(len(lines))
    found = "\n".join(lines[start : start + draw.randint(*WINDOW_LINES)])
    return found if any(letter.isalnum() for letter in found) else None


def asked(deck: Deck, snippet: str) -> str:
    """Return the prompt for one snippet, which ends where the problem begins."""

    def shown(exemplar: Exemplar) -> str:
        parts = (f"### Snippet\n{exemplar.snippet}", f"{SECTIONS[0]}\n{exemplar.instruction}")
        return "\n\n".join([*parts, f"{SECTIONS[1]}\n{exemplar.response}"])

    query = f"### Snippet\n```python\n{snippet}\n```\n\n{SECTIONS[0]}"
    return prompt(SYSTEM, [shown(one) for one in deck], query)


def parsed(text: str) -> tuple[str, str] | None:
    """Return the problem and the solution in an answer that continues the prompt; None unless it has both, in order.

    A header counts wherever a line contains it, in any case, and the first such line is the one.
    """
    lines = text.split("\n")
    heads = [next((n for n, line in enumerate(lines) if head.lower() in line.lower()), None) for head in SECTIONS]
    begin = -1 if heads[0] is None else heads[0]  # the prompt has the first one
    if heads[1] is None or heads[1] <= begin:
        return None
    problem, solution = "\n".join(lines[begin + 1 : heads[1]]).strip(), "\n".join(lines[heads[1] + 1 :]).strip()
    return (problem, solution) if problem and solution else None


def fault(problem: str, solution: str) -> str:
    """Return why a pair cannot be learnt from, "" when it can: among others, a problem that gives its solution away."""
    if not encodable(problem + solution):
        return UNENCODABLE
    given = {bare(block.code) for block in blocks(problem)}
    return "the problem has the solution" if any(bare(block.code) in given for block in blocks(solution)) else ""


def bare(text: str) -> str:
    """Return a text without white space, by which two are compared."""
    return re.sub(r"\s+", "", text)


def ask(
    engine: Engine,
    cache: Journal,
    decks: Decks,
    seeds: Sequence[Record],
    sampling: Sampling,
    contamination: Contamination,
) -> Step:
    """Return an example for each seed whose answer can be used: id, seed, instruction, response and how it was made.

    Dropped, and counted by reason, are answers without an end or without both sections, those with a `fault`, those
    that repeat an earlier seed, problem or solution (white space aside), and those that a benchmark's text is in.
    """
    reasons = Counter[str]()
    dealt = decks.deal("oss-instruct", fitting(engine, cache, seeds, reasons))
    requests = [
        sampling.request(asked(deck, seed["code"]), (NEXT_EXAMPLE,), "oss-instruct", seed["id"]) for deck, seed in dealt
    ]
    step, seen = Step([], reasons, complete(engine, requests, cache, "problems")), set[tuple[str, str]]()
    records = []
    for (deck, seed), request, completion in zip(dealt, requests, step.completions, strict=True):
        pair = parsed(completion["text"])
        if reason := unfinished(completion) or ("not both sections" if pair is None else fault(*pair)):
            reasons[reason] += 1
            continue
        problem, solution = pair or ("", "")
        keys = {("seed", bare(seed["code"])), ("problem", bare(problem)), ("solution", bare(solution))}
        if keys & seen:
            reasons["same as an earlier one"] += 1
        elif found := contamination.reason(f"{problem}\n{solution}"):
            reasons[found] += 1
        else:
            identity = content_id("oss-instruct", seed["id"], completion["id"])
            facts = {"id": identity, "seed": seed["id"], "instruction": problem, "response": solution}
            records.append(facts | generated(deck, request, completion, engine))
        seen |= keys
    step.records = records
    return require_records(step, "problem with a solution")
