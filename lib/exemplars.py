"""The few-shot exemplars, the system texts, and the decks in which they are shown."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.records import Record, StudyError, content_id
from lib.study import ROOT

FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Exemplar:
    """One worked example shown to the model; `id` is its file's name without the ending."""

    id: str
    category: str
    difficulty: str
    concepts: tuple[str, ...]
    snippet: str
    instruction: str
    response: str
    tests: str


Deck = tuple[Exemplar, ...]


def sections(text: str) -> dict[str, str]:
    """Split a Markdown text at its `## Name` lines into {name in lower case: body}; fenced lines are body."""
    found: dict[str, list[str]] = {}
    body: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            body = found.setdefault(line[3:].strip().lower(), [])
        else:
            body.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


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
                )
            )
        except KeyError as error:
            raise StudyError(f"{path} has no {error.args[0]}; see its neighbours for the layout") from None
    return exemplars


def load_systems(path: Path = ROOT / "data" / "exemplars" / "system.md") -> dict[str, str]:
    """Return the system text of each step: {"s->c": ..., "c->i": ..., "i->r": ..., "s->i": ...}."""
    return sections(path.read_text())


def draw_decks(exemplars: Sequence[Exemplar], shots: int, count: int, seed: int) -> list[Deck]:
    """Draw `count` decks: ordered samples of `shots` exemplars without replacement (section C.1: 8, 8 and 1 shots).

    The paper draws anew for every prompt; a deck is such a draw shown to many prompts, so that the engine
    computes its prefix once. `count` equal to the number of prompts is the paper's behaviour.
    """
    if not 0 < shots <= len(exemplars):
        raise StudyError(f"{shots} shots need that many exemplars; there are {len(exemplars)}")
    return [tuple(random.Random(content_id(seed, "deck", shots, n)).sample(exemplars, shots)) for n in range(count)]


def by_deck(decks: Sequence[Deck], items: Sequence[Record]) -> list[tuple[Deck, Record]]:
    """Deal seeds, or records made from them, to decks, and group them by deck while its prefix is warm.

    Which deck a seed gets depends on the seed's id alone, so no record depends on what became of its neighbours.
    """
    dealt = [(int(content_id("deck", item.get("seed", item["id"])), 16) % len(decks), item) for item in items]
    return [(decks[number], item) for number, item in sorted(dealt, key=lambda pair: (pair[0], pair[1]["id"]))]
