"""From costs to EvalPerf's scores (Liu et al. 2024): the rung of the ladder that a solution reaches, DPS, win rates.

A ladder holds a task's reference solutions from slow to fast, each with the percentage of language models' solutions
that it is no slower than. A solution's DPS is the score of the fastest reference that it is no slower than; its
normalised DPS is that reference's place among them. Both are 0 to 100, and 0 for one that is slower than all.
"""

from collections.abc import Mapping, Sequence

from lib.core.records import Record

SLOWEST = -1  # the rung of what is slower than every reference
Scores = Mapping[str, float]  # task -> a model's DPS


def rung(cost: float | None, ladder: Sequence[tuple[int, float | None]], tolerance: float) -> int:
    """Return the fastest reference's number among those that are no faster than `cost`, SLOWEST when none is.

    `ladder` holds the number and cost of each reference that could be measured; costs that differ by a share of at most
    `tolerance` count as equal. A solution without a cost (too slow, or it failed) is slower than all.
    """
    if cost is None:
        return SLOWEST
    for number, reference in sorted(ladder, reverse=True):
        if reference is not None and cost <= reference * (1 + tolerance):
            return number
    return SLOWEST


def scores(problem: Record, number: int) -> tuple[float | None, float]:
    """Return DPS and normalised DPS of a rung; the first is None where the ladder's scores are not known."""
    known = {one["cluster"]: one["score"] for one in problem["references"]}
    if number == SLOWEST:
        return (0.0 if any(score is not None for score in known.values()) else None), 0.0
    return known[number], 100 * (number + 1) / problem["n_reference"]


def selected(samples: Sequence[Record], least: int, most: int) -> dict[str, list[int]]:
    """Return, by task, the places of the samples that are measured: the first `most` that passed.

    A task with fewer than `least` that passed has none.
    """
    passed: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        if sample["passed"]:
            passed.setdefault(sample["task_id"], []).append(place)
    return {task: places[:most] for task, places in passed.items() if len(places) >= least}


def against(one: Scores, other: Scores) -> Record:
    """Return the comparison of two models over the tasks on which both have a score.

    `wins`, `ties` and `losses` of the first are numbers of tasks; `rate` is the share of wins, ties counted half, None
    where there is no such task; `dps` are both means over these tasks.
    """
    common = [task for task in one if task in other]
    wins = sum(one[task] > other[task] for task in common)
    losses = sum(one[task] < other[task] for task in common)
    ties, n = len(common) - wins - losses, len(common)
    rate = (wins + ties / 2) / n if n else None
    means = [sum(scored[task] for task in common) / n if n else None for scored in (one, other)]
    return {"n": n, "wins": wins, "ties": ties, "losses": losses, "rate": rate, "dps": means}


def win_rates(models: Mapping[str, Scores]) -> dict[str, Record]:
    """Return each model's win rates against all others, as fractions; None where nothing can be compared.

    `tasks` is the share of all comparisons on a task that it wins, ties counted half: the paper's win rate; `models`
    the share of the others whose mean over the common tasks is below its own.
    """
    found = {}
    for name, one in models.items():
        rounds = [seen for other in models if other != name if (seen := against(one, models[other]))["n"]]
        total = sum(seen["n"] for seen in rounds)
        won = sum(seen["wins"] + seen["ties"] / 2 for seen in rounds)
        above = sum(seen["dps"][0] > seen["dps"][1] for seen in rounds)
        found[name] = {"tasks": won / total if total else None, "models": above / len(rounds) if rounds else None}
    return found


def agreement(ladder: Sequence[tuple[int, float | None]], tolerance: float) -> tuple[int, int]:
    """Return (pairs in order, pairs) of the references of one task, any number of them on a rung.

    A pair is of two rungs; it is in order when the one higher up costs no more, up to `tolerance`. A pair in which one
    has no cost is left out.
    """
    pairs = [
        fast <= slow * (1 + tolerance)
        for low, slow in ladder
        for high, fast in ladder
        if low < high and slow is not None and fast is not None
    ]
    return sum(pairs), len(pairs)


def summary(published: Mapping[str, Record]) -> dict[str, float]:
    """Return a model's dps, dps_norm and pass@1 from its published values by task: means over tasks that have one."""
    found = {}
    for name in ("dps", "dps_norm", "pass@1"):
        values = [parts[name] for parts in published.values() if parts[name] is not None]
        found[name] = sum(values) / len(values)
    return found
