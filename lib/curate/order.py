"""The seeded shuffle that decides which seeds a run uses first, with a limit per package."""

import random
from collections import Counter
from collections.abc import Iterable


def shuffled(packages: Iterable[tuple[str, str]], seed: int, per_package: int) -> list[str]:
    """Ids in the order of a seeded shuffle, at most `per_package` per package, given (id, package) pairs.

    The order depends only on the ids and on `seed`, not on the order of the pairs.
    """
    ranked = sorted(packages)
    random.Random(seed).shuffle(ranked)
    taken: Counter[str] = Counter()
    kept = []
    for key, package in ranked:
        taken[package] += 1
        if taken[package] <= per_package:
            kept.append(key)
    return kept
