"""The seeded shuffle that decides which seeds a run uses first, with a limit for each package."""

import random
from collections import Counter
from collections.abc import Iterable

from lib.records import Record


def shuffled(seeds: Iterable[Record], seed: int, per_package: int) -> list[Record]:
    """The seeds in the order of a seeded shuffle, at most `per_package` of each package, `order` counting from 0.

    The order depends on the seeds' ids and on `seed` only, not on the order they come in.
    """
    ranked = sorted(seeds, key=lambda record: record["id"])
    random.Random(seed).shuffle(ranked)
    taken: Counter[str] = Counter()
    kept = []
    for record in ranked:
        package = record["source"]["package"]
        taken[package] += 1
        if taken[package] <= per_package:
            kept.append(record | {"order": len(kept)})
    return kept
