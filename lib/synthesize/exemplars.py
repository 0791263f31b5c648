"""The few-shot exemplars, the system texts, and the decks in which they are shown."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.core.markdown import sections
from lib.core.paths import ROOT
from lib.core.records import Record, StudyError, content_id

EXEMPLARS = ROOT / "data" / "exemplars"
ENCODING = "utf-8-sig"  # some editors begin a file of UTF-8 with a byte order mark
FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Exemplar:
    """One worked example shown to the model; `id` is its file's name without the extension.

    `reasoning` and `explanation` are sections of the older pipeline only, empty if an exemplar has none. `packages`
    are those outside the standard library that its code imports.
    """

    id: str
    category: str
    difficulty: str
    concepts: tuple[str, ...]
    snippet: str
    instruction: str
    response: str
    tests: str
    reasoning: str = ""
    explanation: str = ""
    packages: tuple[str, ...] = ()


Deck = tuple[Exemplar, ...]


def load_exemplars(pool: str, restricted: bool = False, folder: Path = EXEMPLARS) -> list[Exemplar]:
    """Return the exemplars of a pool, sorted by id: those of `folder`/`pool`.

    "full" has the measure of the paper's pool (words of instructions, responses and tests), "terse" a third of it. With
    `restricted`, those that need a package are left out: the sandbox has none.
    Raises StudyError for an unknown pool and, with the file's name, for a missing part.
    """
    paths = sorted((folder / pool).glob("[0-9]*.md"))
    if not paths:
        pools = ", ".join(sorted(path.parent.name for path in folder.glob("*/01*.md")))
        raise StudyError(f"there is no pool of exemplars {pool!r}; choose one of {pools}")
    exemplars = []
    for path in paths:
        match = FRONT.match(path.read_text(ENCODING))
        if match is None:
            raise StudyError(f"{path} lacks its front matter between two --- lines")
        facts = dict(line.split(": ", 1) for line in match[1].splitlines())
        parts = sections(match[2])
        try:
            exemplars.append(
                Exemplar(
                    id=path.stem,
                    category=facts["category"],
                    difficulty=facts["difficulty"],
                    concepts=_listed(facts["concepts"]),
                    snippet=parts["snippet"],
                    instruction=parts["instruction"],
                    response=parts["response"],
                    tests=parts["tests"],
                    reasoning=parts.get("reasoning", ""),
                    explanation=parts.get("explanation", ""),
                    packages=_listed(facts["packages"]) if "packages" in facts else (),
                )
            )
        except KeyError as error:
            raise StudyError(f"{path} has no {error.args[0]}; see its neighbours for the layout") from None
    return [exemplar for exemplar in exemplars if not (restricted and exemplar.packages)]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(","))


def load_systems(path: Path = EXEMPLARS / "system.md") -> dict[str, str]:
    """Return the system texts by name: those of the steps, "s->c" and so on, and their variants (`prompts.style`)."""
    return sections(path.read_text(ENCODING))


def positions(dealt: Sequence[tuple[Deck, Record]], exemplars: Sequence[Exemplar]) -> pd.DataFrame:
    """Count how often each exemplar (row, by id) is in each position (column, from 1) of the prompts in `dealt`."""
    counts = Counter((exemplar.id, position) for deck, _ in dealt for position, exemplar in enumerate(deck, 1))
    rows, columns = [exemplar.id for exemplar in exemplars], sorted({column for _, column in counts})
    return pd.DataFrame([[counts[row, column] for column in columns] for row in rows], index=rows, columns=columns)


class Decks:
    """The ordered samples of exemplars with which a step's prompts begin (paper, section C.1: 8, 8 and 1 shots).

    The paper draws a sample for every prompt, as `count` 0 does. A deck is a sample that many prompts share, so that
    the engine computes their common prefix once; `count` is the number of decks. If it is a multiple of the number of
    exemplars, every exemplar is equally often in every position.
    Raises StudyError for more shots than exemplars.
    """

    def __init__(self, exemplars: Sequence[Exemplar], shots: int, count: int, seed: int) -> None:
        if not 0 < shots <= len(exemplars):
            raise StudyError(f"{shots} shots need that many exemplars; there are {len(exemplars)}")
        self.exemplars, self.shots, self.seed = exemplars, shots, seed
        self.drawn = [self.balanced(number) for number in range(count)]

    def draw(self, key: object) -> Deck:
        """Return the ordered sample, without replacement, for `key`."""
        rng = random.Random(content_id(self.seed, "deck", self.shots, key))
        return tuple(rng.sample(self.exemplars, self.shots))

    def balanced(self, number: int) -> Deck:
        """Return row `number` of a series of random Latin squares; each row is a random ordered sample by itself.

        A square has as many rows as there are exemplars and has each of them once in each position.
        """
        square, row = divmod(number, len(self.exemplars))
        rng = random.Random(content_id(self.seed, "square", self.shots, square))
        order = rng.sample(self.exemplars, len(self.exemplars))
        columns = rng.sample(range(len(order)), self.shots)
        return tuple(order[(row + column) % len(order)] for column in columns)

    def deal(self, step: str, items: Sequence[Record]) -> list[tuple[Deck, Record]]:
        """Return each seed, or record made from one, with its deck, grouped by deck so that its prefix stays cached.

        The deck depends on the seed alone, so no record depends on whether its neighbours were dropped.
        """
        ordered = sorted(items, key=lambda item: item["id"])
        if not self.drawn:
            return [(self.draw([step, item["id"]]), item) for item in ordered]
        numbers = [int(content_id("deck", item.get("seed", item["id"])), 16) % len(self.drawn) for item in ordered]
        dealt = sorted(zip(numbers, range(len(ordered)), strict=True))
        return [(self.drawn[number], ordered[index]) for number, index in dealt]
