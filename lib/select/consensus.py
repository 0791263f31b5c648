"""Consensus, an ablation of ours: each response of a task is run against the tests of the others."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lib.core.records import Record


def crossed(programs: Sequence[Record], tasks: Mapping[str, str]) -> Iterator[Record]:
    """Yield each program with the tests of each other program of its task, for the sandbox.

    `programs` have id, code and tests, `tasks` the task of each by id. The id is "<program> <program of the tests>".
    Tests that two programs have in common count once for each of them: they are what each author thought of.
    """
    found: dict[str, list[Record]] = defaultdict(list)
    for program in programs:
        found[tasks[program["id"]]].append(program)
    for alike in found.values():
        for one in alike:
            for other in alike:
                if one is not other:
                    yield {"id": f"{one['id']} {other['id']}", "code": one["code"], "tests": other["tests"]}


def support(verdicts: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """Return {program: (how many of the others' tests it passes, how many others there are)} of verdicts of `crossed`.

    A program that is alone at its task is not there.
    """
    counted: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        counted[verdict["id"].split()[0]].append(verdict["verdict"] == "pass")
    return {name: (sum(each), len(each)) for name, each in counted.items()}
