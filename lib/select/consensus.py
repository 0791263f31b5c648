"""Consensus, an ablation of ours: each response of a task is run against the tests of the others."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lib.core.programs import parsed
from lib.core.records import Record
from lib.select.distinct import DEFINITION


def crossed(programs: Sequence[Record], tasks: Mapping[str, str]) -> Iterator[Record]:
    """Yield each program with the tests of each other program of its task, for the sandbox.

    `programs` have id, code and tests, `tasks` the task of each by id. The id is "<program> <program of the tests>".
    Left out are tests that call something that the program does not define: that two answers use other names says
    nothing of whether they are right. Tests that two programs have in common count once for each of them.
    """
    found: dict[str, list[Record]] = defaultdict(list)
    for program in programs:
        found[tasks[program["id"]]].append(program)
    for alike in found.values():
        for one in alike:
            for other in alike:
                if one is not other and called(other) and called(other) <= defined(one["code"]):
                    yield {"id": f"{one['id']} {other['id']}", "code": one["code"], "tests": other["tests"]}


def defined(code: str) -> set[str]:
    """Return the names of a program's functions and classes; none where it cannot be read."""
    tree = parsed(code)
    return {node.name for node in tree.body if isinstance(node, DEFINITION)} if tree else set()


def called(program: Record) -> set[str]:
    """Return the program's own names that its tests use."""
    tests = parsed(program["tests"])
    used = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)} if tests else set()
    return used & defined(program["code"])


def support(verdicts: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """Return {program: (how many of the others' tests it passes, how many others there are)} of verdicts of `crossed`.

    A program that no other one's tests could be run on is not there.
    """
    counted: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        counted[verdict["id"].split()[0]].append(verdict["verdict"] == "pass")
    return {name: (sum(each), len(each)) for name, each in counted.items()}
