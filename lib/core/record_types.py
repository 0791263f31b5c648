"""The record types of the study: what a line of each of its files holds."""

from typing import NotRequired, TypedDict


class Source(TypedDict):
    """Where a seed comes from, down to the line."""

    package: str
    version: str
    licence: str
    path: str
    line: int


class Seed(TypedDict):
    """A function that inspires one task; `order` is its rank in a seeded shuffle, the judged ones first."""

    id: str
    code: str
    name: str
    docstring: str
    order: int
    judged: bool
    source: Source


class Generated(TypedDict):
    """What every generated record holds: enough to make the same request again."""

    id: str
    exemplars: list[str]
    sampling_seed: int
    request: str
    model: str
    engine: str


class Concepts(Generated):
    """The concepts drawn from one seed (SelfCodeAlign, section 2.2)."""

    seed: str
    concepts: list[str]


class Instruction(Generated):
    """A task made from concepts, with the category and difficulty that were drawn for it."""

    parent: str
    seed: str
    instruction: str
    category: str
    difficulty: str


class Response(Generated):
    """One sampled response with its tests, as the model wrote it; `tokens` counts those of the completion."""

    parent: str
    seed: str
    sample: int
    text: str
    tokens: int


class Verdict(TypedDict):
    """What the sandbox saw when it ran a response with its tests; what may be absent is in the journal only.

    `units` are (name, verdict, detail) of each test case and assertion that was run; `ended` says whether the tests
    came to their end; `seconds` is wall time.
    """

    id: str
    verdict: str
    detail: str
    tier: str
    units: NotRequired[list[tuple[str, str, str]]]
    ended: NotRequired[bool]
    seconds: NotRequired[float]
    code: NotRequired[str]
    tests: NotRequired[str]


class Example(TypedDict):
    """One training example with everything that led to it."""

    id: str
    parent: str
    instruction: str
    response: str
    tests: str
    pass_rate: float
    category: str
    difficulty: str
    seed: str
    source: Source
    sample: int
    exemplars: list[str]
    sampling_seed: int
    request: str
    model: str
    engine: str


# What the files of a finished run hold, by the role of the stage that writes them (`lib.core.study`).
RECORD_TYPES: dict[tuple[str, str], type] = {
    ("curation", "seeds.jsonl"): Seed,
    ("synthesis", "concepts.jsonl"): Concepts,
    ("synthesis", "instructions.jsonl"): Instruction,
    ("synthesis", "responses.jsonl"): Response,
    ("filtering", "verdicts.jsonl"): Verdict,
    ("filtering", "dataset.jsonl"): Example,
}
