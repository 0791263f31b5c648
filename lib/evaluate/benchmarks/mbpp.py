"""MBPP (Austin et al. 2021) and MBPP+ (EvalPlus): short tasks, each specified by a sentence and one assertion.

Both are read from EvalPlus's file: MBPP is its base inputs, MBPP+ these and many more. The official pipeline scored the
399 tasks of v0.1.0; v0.2.0, which evalplus 0.3.1 uses, has 378 of them, so that scores on the two are not comparable.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lib.core.records import Record
from lib.evaluate.benchmark import RESPONSE_PREFIX, last_block
from lib.evaluate.benchmarks.evalplus import PARTS, EvalPlus
from lib.evaluate.data import from_evalplus
from lib.evaluate.oracles.evalplus import RULES

# sha256 of the uncompressed file, the newest version first
PINS = {
    "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad": "v0.2.0",
    "a855b9de667baea8e2f8aa61f898767a7336872208a85222b35622545e819fe9": "v0.1.0",
}
# Tasks of v0.1.0 that v0.2.0 does not have.
_NUMBERS = "83 115 117 143 164 229 249 295 396 400 407 431 438 442 461 574 582 595 640 746 783"
DROPPED = frozenset(f"Mbpp/{number}" for number in _NUMBERS.split())
ANYTHING = frozenset({"Mbpp/164"})  # in v0.1.0 only: its reference is wrong, so EvalPlus takes any answer
QUOTES = '"""'  # around a task's prompt
SENTENCE = "This assertion must hold for your code:"  # the study's wording
Change = Callable[[Any], Any]


def load(path: str | Path | None = None, version: str = "", *, plus: bool = True) -> "MbppPlus":
    """Return MBPP+ or MBPP of a version ("": any), from a path or from where `lib.evaluate.data.locate` finds it.

    Missing when it is nowhere, StudyError when the file is damaged or of another version.
    """
    name = "MBPP+" if plus else "MBPP"
    facts, problems = from_evalplus(path, name, PINS, version)
    return (MbppPlus if plus else Mbpp)(name, problems, **facts)


class MbppPlus(EvalPlus):
    """Tasks that are a sentence and an assertion, graded on base and plus inputs."""

    def __init__(self, name: str, problems: Mapping[str, Record], **facts: str) -> None:
        super().__init__(name, problems, **facts)
        self.elsewhere, self.anything = DROPPED - set(problems), ANYTHING & set(problems)

    def official_prompt(self, task: str) -> str:
        """Return the text between the quotes of a task's prompt, with the line breaks inside them."""
        return self.problems[task]["prompt"].partition(QUOTES)[2].rpartition(QUOTES)[0]

    def instruction(self, task: str) -> str:
        """The sentence with a final period, a blank line, the fenced assertion, as in the paper's script.

        In StarCoder2-Instruct's a sentence stands above the assertion.
        """
        text, _, assertion = self.official_prompt(task).partition("assert")
        above = f"{SENTENCE}\n" if self.protocol == "starcoder2" else ""
        return f"{text.strip().removesuffix('.')}.\n\n{above}```python\nassert{assertion.rstrip()}\n```"

    def opening(self, task: str) -> str:
        """With an open fence; in StarCoder2-Instruct's script a line break before it."""
        return f"\n{RESPONSE_PREFIX}" if self.protocol == "starcoder2" else RESPONSE_PREFIX

    def solution(self, task: str, completion: str) -> str:
        """Return the last python block; in StarCoder2-Instruct's script all up to the first fence."""
        older = self.protocol == "starcoder2"
        return (completion.partition("```")[0].strip("\n") if older else last_block(completion)) + "\n"

    def inputs(self, task: str, part: str) -> list[Any]:
        return inputs(self.problems[task], part)

    def rule(self, task: str) -> str | None:
        entry = self.problems[task]["entry_point"]
        return entry if entry in RULES else None


class Mbpp(MbppPlus):
    """Graded on base inputs alone."""

    parts, faults = ("base",), {}


def inputs(problem: Record, part: str) -> list[Any]:
    """Return a task's inputs, each the arguments of one call, with the types that JSON cannot represent."""
    given = problem[PARTS[part]] or []  # Mbpp/793 has no plus inputs, but an empty dictionary
    change = TYPES.get(problem["task_id"].removeprefix("Mbpp/"))
    return [change(arguments) for arguments in given] if change else given


def each(change: Change) -> Change:
    """Change every argument of a call."""
    return lambda arguments: [change(argument) for argument in arguments]


def first(change: Change) -> Change:
    """Change the first argument of a call."""
    return lambda arguments: [change(arguments[0]), *arguments[1:]]


def tuples(items: Any) -> list[Any]:
    """A list of tuples."""
    return [tuple(item) for item in items]


def sets(items: Any) -> list[Any]:
    """A list of sets; empty ones are dictionaries in the file, and stay so."""
    return [set(item) if isinstance(item, list) and item else {} for item in items]


def frozen(value: Any) -> Any:
    """Lists made tuples at every level."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


# The tasks whose arguments have types that JSON lacks (evalplus/data/mbpp.py, mbpp_deserialize_inputs).
TYPES: dict[str, Change] = {
    task: change
    for tasks, change in (
        ("2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809", each(tuple)),
        ("63 64 70 94 120 237 272 299 400 409 417 438 473 614 780", each(tuples)),
        ("75 413 444 753", first(tuples)),
        ("250 307 405 446 617 720 763 808", first(tuple)),
        ("106 750", lambda arguments: [arguments[0], tuple(arguments[1])]),
        ("115", first(sets)),
        ("124", lambda arguments: (float(arguments[0]), complex(arguments[1]))),
        ("252", first(complex)),
        ("259 401 445", each(lambda items: tuple(map(tuple, items)))),
        ("278", each(lambda items: tuple(tuple(item) if isinstance(item, list) else item for item in items))),
        ("580 615 791", frozen),
        ("722", first(lambda held: {key: tuple(value) for key, value in held.items()})),
    )
    for task in tasks.split()
}
