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

FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Exemplar:
    """One worked example shown to the model; `id` is its file's name without the ending.

    `reasoning` and `explanation` are sections of the older pipeline only, empty where an exemplar has none.
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


Deck = tuple[Exemplar, ...]


def load_exemplars(folder: Path = ROOT / "data" / "exemplars") -> list[Exemplar]:
    """Return the exemplars of a folder sorted by id; StudyError names the file and what it lacks."""
    exemplars = []
    for path in sorted(folder.glob("[0-9]*.md")):
        match = FRONT.match(path.read_text())
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
                    concepts=tuple(concept.strip() for concept in facts["concepts"].split(",")),
                    snippet=parts["snippet"],
                    instruction=parts["instruction"],
                    response=parts["response"],
                    tests=parts["tests"],
                    reasoning=parts.get("reasoning", ""),
                    explanation=parts.get("explanation", ""),
                )
            )
        except KeyError as error:
            raise StudyError(f"{path} has no {error.args[0]}; see its neighbours for the layout") from None
    return exemplars


def load_systems(path: Path = ROOT / "data" / "exemplars" / "system.md") -> dict[str, str]:
    """Return the system text of each step: {"s->c": ..., "c->i": ..., "i->r": ..., "s->i": ...}."""
    return sections(path.read_text())


def positions(dealt: Sequence[tuple[Deck, Record]], exemplars: Sequence[Exemplar]) -> pd.DataFrame:
    """Count how often each exemplar (row, by id) stands in each position (column, from 1) of the prompts dealt."""
    counts = Counter((exemplar.id, place) for deck, _ in dealt for place, exemplar in enumerate(deck, 1))
    rows, columns = [exemplar.id for exemplar in exemplars], sorted({column for _, column in counts})
    return pd.DataFrame([[counts[row, column] for column in columns] for row in rows], index=rows, columns=columns)


class Decks:
    """The draws of exemplars that a step's prompts begin with (section C.1: 8, 8 and 1 shots).

    The paper draws an ordered sample of exemplars anew for every prompt: `count` 0 does that. A deck is such a draw
    shown to many prompts, so that the engine computes their common beginning once; `count` is the number of decks.
    As many decks as there are exemplars, or a multiple, show every exemplar equally often in every position.
    """

    def __init__(self, exemplars: Sequence[Exemplar], shots: int, count: int, seed: int) -> None:
        if not 0 < shots <= len(exemplars):
            raise StudyError(f"{shots} shots need that many exemplars; there are {len(exemplars)}")
        self.exemplars, self.shots, self.seed = exemplars, shots, seed
        self.drawn = [self.balanced(number) for number in range(count)]

    def draw(self, key: object) -> Deck:
        """Return the ordered sample, without replacement, that belongs to `key`."""
        rng = random.Random(content_id(self.seed, "deck", self.shots, key))
        return tuple(rng.sample(self.exemplars, self.shots))

    def balanced(self, number: int) -> Deck:
        """Return a row of a random Latin square: by itself a random ordered sample, like any other draw.

        A square has a row for each exemplar and shows each of them once in each position; then comes the next square.
        """
        square, row = divmod(number, len(self.exemplars))
        rng = random.Random(content_id(self.seed, "square", self.shots, square))
        order = rng.sample(self.exemplars, len(self.exemplars))
        columns = rng.sample(range(len(order)), self.shots)
        return tuple(order[(row + column) % len(order)] for column in columns)

    def deal(self, step: str, items: Sequence[Record]) -> list[tuple[Deck, Record]]:
        """Give each seed, or record made from one, its deck, and group by deck while its beginning is warm.

        What a seed gets depends on the seed alone, so no record depends on what became of its neighbours.
        """
        ordered = sorted(items, key=lambda item: item["id"])
        if not self.drawn:
            return [(self.draw([step, item["id"]]), item) for item in ordered]
        numbers = [int(content_id("deck", item.get("seed", item["id"])), 16) % len(self.drawn) for item in ordered]
        dealt = sorted(zip(numbers, range(len(ordered)), strict=True))
        return [(self.drawn[number], ordered[place]) for number, place in dealt]
