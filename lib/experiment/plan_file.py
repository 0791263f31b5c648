"""Reads a plan from YAML, refuses what is malformed or contradicts itself, and writes computed values into it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from lib.core.notebooks import check_value
from lib.core.paths import ROOT, shown
from lib.core.records import StudyError, write_text
from lib.experiment.plan import GRID, MADE, SELECTIONS, UNTRAINED, Line, Plan, Question

PLAN = ROOT / "data" / "experiments" / "plan.yaml"
MERGED = ("pools", "made", "tasks", "arms")
LARGEST_GRID = 6  # cells; each costs a training and an answer to every validation task


class Loader(yaml.SafeLoader):
    """YAML in which 1e-5 is a number and no name is written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, of which PyYAML would take the last of two equal names in silence."""
        names = Counter(str(key.value) for key, _ in node.value)
        if twice := [name for name, count in names.items() if count > 1]:
            raise StudyError(f"line {node.start_mark.line + 1}: {twice[0]} is written twice; keep one of the two")
        return super().construct_mapping(node, deep)


NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+\Z")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789"))


def checked(value: Any, kind: Any, label: str) -> Any:
    """Return a value read from YAML or JSON as the type `kind`; StudyError, which begins with `label`, for another.

    Knows plain types, dataclasses, tuples and mappings of these, and what may be null. No number may be negative.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else checked(value, inner[0], label)
    if origin in (tuple, dict) or is_dataclass(kind):
        check_value(label, value, [] if origin is tuple else {})
    if origin is tuple:
        return tuple(checked(item, inner[0], f"{label}[{place}]") for place, item in enumerate(value))
    if origin is dict:
        return {str(name): checked(item, inner[1], f"{label}: {name}") for name, item in value.items()}
    if is_dataclass(kind):
        return made(kind, value, label)
    check_value(label, value, kind())
    if kind in (int, float) and value < 0:
        raise StudyError(f"{label} must not be negative, as {value} is; write 0 or more")
    return kind(value)


def made(kind: Any, given: Mapping[str, Any], label: str) -> Any:
    """Return a dataclass made from a mapping; StudyError for a name that it does not have or that is missing."""
    hints = get_type_hints(kind)
    if unknown := [name for name in given if name not in hints]:
        raise StudyError(f"{label} has no {unknown[0]}; it has {', '.join(hints)}")
    without = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in without if name not in given]:
        raise StudyError(f"{label} lacks {lacking[0]}; write it as data/experiments/plan.yaml does")
    return kind(**{name: checked(value, hints[name], f"{label}: {name}") for name, value in given.items()})


def read_plan(path: Path = PLAN) -> Plan:
    """Return a plan; StudyError, in one line with the file's name, for one that is malformed or contradicts itself.

    One that `stands_on` another has its values where it gives none of its own, and adds to the other's MERGED.
    """
    try:
        plan = checked(loaded(path), Plan, "the plan")
        if fault := next(faults(plan), ""):
            raise StudyError(fault)
    except (StudyError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{shown(path)}: {' '.join(str(error).split())}") from error
    return plan


def loaded(path: Path) -> Any:
    """Return what a plan's file says, with what it stands on; StudyError when that stands on another one itself."""
    given = mapping(path)
    if "stands_on" not in given:
        return given
    below = mapping(path.parent / str(given.pop("stands_on")))
    if "stands_on" in below:
        raise StudyError("a plan may stand on one other only: name the last one in stands_on")
    return below | given | {name: below.get(name, {}) | given.get(name, {}) for name in MERGED}


def mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, whose `pools` and the like are mappings, too."""
    if not path.is_file():
        raise StudyError(f"{path} is missing; name a plan, as data/experiments/plan.yaml is one")
    given = yaml.load(path.read_text(), Loader)
    check_value("the plan", given, {})
    for name in (name for name in MERGED if name in given):
        check_value(name, given[name], {})
    return given


def faults(plan: Plan) -> Iterator[str]:
    """Yield what is wrong with a plan, in words."""
    if not plan.pools:
        yield "pools is empty; name the folder of a recorded pool"
    pairs = [(q.better, q.worse) for q in plan.questions] + [(plan.controls.positive, plan.controls.negative)]
    compared = {name for pair in pairs for name in pair}
    for name in sorted(compared | {plan.controls.pilot, plan.grid.arm}):
        if name not in plan.arms:
            yield f"there is no arm {name}, but it is asked about; add it to arms"
    if not 1 <= len(plan.grid.learning_rates) * len(plan.grid.epochs) <= LARGEST_GRID:
        yield f"the grid must have 1 to {LARGEST_GRID} cells; change its learning_rates or epochs"
    if plan.grid.arm in compared:
        yield f"the grid's arm {plan.grid.arm} is compared, too; choose rate and epochs with another one"
    for name, line in plan.arms.items():
        yield from (f"arm {name}: {fault}" for fault in faults_of_arm(plan, name, line))
    for question in plan.questions:
        yield from (f"question {question.id}: {fault}" for fault in faults_of_question(plan, question))
    for name, count in Counter(question.id for question in plan.questions).items():
        if count > 1:
            yield f"question {name} is there twice; rename one"


def faults_of_arm(plan: Plan, name: str, line: Line) -> Iterator[str]:
    """Yield what is wrong with an arm."""
    scoring = line.scoring or plan.scoring
    if not re.fullmatch(r"\w[\w.-]*", name) or name == GRID:
        yield f"the name must be of letters, digits, . and -, and not {GRID}"
    if line.selection not in SELECTIONS:
        yield f"selection {line.selection} is unknown; choose one of {', '.join(SELECTIONS)}"
    if not line.seeds or len(set(line.seeds)) < len(line.seeds):
        yield "seeds must be one or more different numbers"
    kind, known = ("made", plan.made) if line.selection == MADE else ("pools", plan.pools)
    if line.selection != UNTRAINED and line.recipe not in known:
        yield f"recipe {line.recipe!r} is none of {kind}; choose one of {', '.join(known) or 'those that you add'}"
    if line.selection != UNTRAINED and line.tasks not in plan.tasks:
        yield f"tasks {line.tasks!r} is none of tasks; choose one of {', '.join(plan.tasks)}"
    like = plan.tasks[line.tasks].like if line.tasks in plan.tasks else ""
    if (line.selection == MADE) != bool(like):
        yield f"tasks {line.tasks!r} must say which arm they are like where selection is {MADE}, and nowhere else"
    if like and (like not in plan.arms or like not in plan.group(plan.arms[like].tasks)):
        yield f"tasks {line.tasks!r} are like {like!r}, which is no arm with a set of tasks; name one"
    if scoring.samples < 1 or (scoring.samples > 1 and not scoring.temperature):
        yield "several samples need a temperature above 0, and one is the least"


def faults_of_question(plan: Plan, question: Question) -> Iterator[str]:
    """Yield where a question is not what its arms will be."""
    sides = [plan.arms[name] for name in (question.better, question.worse)]
    seeds = {len(line.seeds) for line in sides if line.selection != UNTRAINED}
    if seeds != {question.seeds}:
        yield f"seeds is {question.seeds}, but its arms have {', '.join(map(str, sorted(seeds)))}"
    if samples := [line.scoring.samples for line in sides if line.scoring]:
        yield f"its arms are scored otherwise ({samples[0]} samples); compare arms with the plan's scoring"
    if question.samples != plan.scoring.samples:
        yield f"samples is {question.samples}, but scoring has {plan.scoring.samples}"
    if min(question.problems, question.samples, question.seeds) < 1:
        yield "problems, samples and seeds must be 1 or more"


def fill(path: Path, below: str, key: str, value: str) -> None:
    """Write a value into a plan's text: at the first `key` below the line `below`, before the next id of a list.

    StudyError when there is no such place.
    """
    place = re.compile(
        rf"(^[ -]*{re.escape(below)}[ ]*(?:#.*)?\n(?:(?![ ]*- id:).*\n)*?[ ]*{key}:)[ ]*(?:{{[^}}\n]*}}|[^\s#]*)",
        re.MULTILINE,
    )
    text, count = place.subn(lambda found: f"{found[1]} {value}", path.read_text(), count=1)
    if not count:
        raise StudyError(f"{shown(path)} has no {key} below {below!r}: write `{key}: {value}` there")
    write_text(path, text)
