"""The seeded shuffle that decides which seeds a run uses first, with a limit for each package."""

import random
from collections import Counter
from collections.abc import Iterable


def shuffled(packages: Iterable[tuple[str, str]], seed: int, per_package: int) -> list[str]:
    """Ids in the order of a seeded shuffle, at most `per_package` of each package, given (id, package) pairs.

    The order depends on the ids and on `seed` only, not on the order they come in.
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
