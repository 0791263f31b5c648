"""Evol-Instruct for code (Luo et al. 2024, WizardCoder): tasks are made harder, round by round, and answered.

A baseline of the paper's Table 11. Each round rewrites every task once, by one of five methods drawn evenly; the data
set has the tasks of the beginning and those of all rounds, each answered by the same model (`lib.synthesize.answers`).
Tasks to begin with are the study's own, or a file in Code Alpaca's format (`code_alpaca`). Rewritten tasks are rejected
as in the open reproduction of theblackcat102/evol-dataset. The texts and the examples that are shown are the study's
own; WizardCoder's prompt has no examples, but models that continue text need some.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core.records import Journal, Record, StudyError, content_id
from lib.core.text import UNENCODABLE, encodable
from lib.generate import Engine, complete
from lib.generate.few_shot import NEXT_EXAMPLE, prompt
from lib.generate.protocol import unfinished
from lib.synthesize.checks import without_duplicates
from lib.synthesize.exemplars import Deck
from lib.synthesize.self_oss_instruct import Sampling, Step, generated, require_records

ROUNDS = 3  # WizardCoder's choice, by HumanEval
SHORTEST = 30  # characters of a rewritten task
SYSTEM = (
    "You make programming tasks a little harder. Rewrite the task by the method that is named; it must stay a task "
    "that a good programmer can solve, complete in itself. Write the new task only."
)
LAYOUT = "### Method\n{}\n\n### Task\n{}\n\n### Harder task"
# What a rewritten task must not have in it: words of the prompt, or a refusal.
LEAKS = (
    "given task",
    "given prompt",
    "new task",
    "harder task",
    "modified task",
    "rewritten",
    "created prompt",
    "sorry",
)
BEGINNINGS = ("modify the", "rewrite the", "### ")


class Method(NamedTuple):
    """A way to make a task harder: what is said to the model, and a task before and after."""

    name: str
    text: str
    before: str
    after: str


# WizardCoder's five methods.
METHODS = (
    Method(
        "constraints",
        "Add one or two further requirements, in about ten words.",
        "Write a function that returns the words of a sentence in alphabetical order.",
        "Write a function that returns the words of a sentence in alphabetical order, upper and lower case alike, each "
        "word only once however often it occurs.",
    ),
    Method(
        "rarer",
        "Replace a requirement that is common by one that is rarer and more specific.",
        "Write a function that sorts a list of names.",
        "Write a function that sorts a list of names by their last letter, and names with the same last letter by "
        "their length.",
    ),
    Method(
        "steps",
        "If it can be solved in few steps, ask for something that needs more of them.",
        "Write a function that counts the days between two dates.",
        "Write a function that takes two dates and a list of holidays, and counts the days between them that are "
        "neither at a weekend nor a holiday.",
    ),
    Method(
        "wrong code",
        "Give a piece of code that solves it wrongly, as a false trail.",
        "Write a function that tells whether a number is prime.",
        "Write a function that tells whether a number is prime. A colleague's version, "
        "`all(n % d for d in range(2, n // 2))`, says that 1 and 4 are prime; yours must not.",
    ),
    Method(
        "complexity",
        "Ask for a better use of time or memory.",
        "Write a function that finds two numbers in a list that add up to a target.",
        "Write a function that finds two numbers in a list that add up to a target. It must look at each number at "
        "most once, and work for lists of a million numbers.",
    ),
)


def asked(method: Method, instruction: str) -> str:
    """Return the prompt that rewrites a task by a method, all methods shown with an example, the wanted one last."""
    others = [one for one in METHODS if one != method]
    shown = [f"{LAYOUT.format(one.text, one.before)}\n{one.after}" for one in (*others, method)]
    return prompt(SYSTEM, shown, LAYOUT.format(method.text, instruction))


def drawn(seed: object, parent: str) -> Method:
    """Return the method by which a task is rewritten."""
    return random.Random(content_id("evolve", seed, parent)).choice(METHODS)


def rejected(text: str, before: str) -> str:
    """Return why a rewritten task is rejected, "" when it is not."""
    said = text.lower()
    if not encodable(text):
        return UNENCODABLE
    if len(text) < SHORTEST:
        return f"shorter than {SHORTEST} characters"
    if "".join(said.split()) == "".join(before.lower().split()):
        return "not changed"
    leaks = said.startswith(BEGINNINGS) or any(word in said for word in LEAKS)
    return "speaks of its prompt, or refuses" if leaks else ""


def evolve(
    engine: Engine, cache: Journal, tasks: Sequence[Record], sampling: Sampling, rounds: int = ROUNDS
) -> tuple[list[Record], list[Step]]:
    """Return (all tasks: those given and those of every round, each text once; the steps of the rounds).

    A task has id, seed and instruction; a rewritten one also parent, method and round. What a round rejects is not
    rewritten again, but its parent stays. Texts that were there before are among the last round's reasons.
    """
    every, current, steps = list(tasks), list(tasks), list[Step]()
    for number in range(1, rounds + 1):
        step = rewrite(engine, cache, current, sampling, number)
        steps.append(step)
        current = list(step.records)
        every += current
    last = steps[-1].reasons if steps else Counter[str]()
    return without_duplicates(every, "instruction", last), steps


def rewrite(engine: Engine, cache: Journal, tasks: Sequence[Record], sampling: Sampling, number: int) -> Step:
    """Return the tasks of one round, a rewritten one for each that is not rejected; reasons are counted."""
    methods = [drawn(sampling.seed, task["id"]) for task in tasks]
    requests = [
        sampling.request(asked(method, task["instruction"]), (NEXT_EXAMPLE,), f"evolve {number}", task["id"])
        for method, task in zip(methods, tasks, strict=True)
    ]
    step = Step([], Counter[str](), complete(engine, requests, cache, f"round {number}"))
    records, nothing = [], Deck()
    for method, task, request, completion in zip(methods, tasks, requests, step.completions, strict=True):
        text = completion["text"].strip()
        if fault := unfinished(completion) or rejected(text, task["instruction"]):
            step.reasons[fault] += 1
            continue
        facts = {"id": content_id("evolved", task["id"], completion["id"]), "parent": task["id"], "instruction": text}
        facts |= {"seed": task.get("seed", task["id"]), "method": method.name, "round": number}
        records.append(facts | generated(nothing, request, completion, engine))
    step.records = records
    return require_records(step, f"task of round {number}")


def code_alpaca(path: Path) -> list[Record]:
    """Return the tasks of a file in Code Alpaca's format: a list of JSON objects with instruction and perhaps input.

    StudyError for a file that cannot be read or is of another form.
    """
    try:
        rows = json.loads(path.read_text("utf-8"))
        texts = ["\n\n".join(part for part in (row["instruction"], row.get("input", "")) if part) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StudyError(f"{path} is no list of tasks in Code Alpaca's format: {error!r}") from None
    return [{"id": content_id("code alpaca", number, text), "instruction": text} for number, text in enumerate(texts)]
