"""The stored notebooks: their code, their parameters and the defaults of these."""

import ast
import json
import math
import re
from typing import Any

from lib.core.code import code_hash
from lib.core.paths import ROOT
from lib.core.records import Record, StudyError

# How a value of each type is written, in a notebook as in a profile.
FORMS = {
    bool: "True or False",
    int: "a whole number such as 10, in decimal, without quotes and leading zeros",
    float: "a number such as 0.5 or 1e-5",
    str: 'text, in quotes ("10") where it would else be a number',
    list: "a list such as [first, second]",
    dict: "a mapping such as {first: 2, second: 1}",
}
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # no name or path has them; UTF-8 lacks some


def notebook_cells(name: str) -> list[Record]:
    """Return the code cells of a numbered notebook as stored; StudyError when there is no such notebook."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in path.parent.glob("[0-9]*.ipynb")))
        raise StudyError(f"there is no notebook {name}; the study has {known}")
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def parameter_defaults(name: str) -> dict[str, Any]:
    """Return the names and default values that a notebook's `parameters` cell assigns (literals only)."""
    (cell,) = [cell for cell in notebook_cells(name) if "parameters" in cell["metadata"].get("tags", [])]
    values: dict[str, Any] = {}
    for node in ast.parse("".join(cell["source"])).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            raise StudyError(f"{name}: the parameters cell may hold only NAME = literal, not line {node.lineno}")
        values[node.targets[0].id] = ast.literal_eval(node.value)
    return values


def code_of_notebook(name: str) -> str:
    """Return the notebook's code outside its parameters cell, as one Python text."""
    cells = [cell for cell in notebook_cells(name) if "parameters" not in cell["metadata"].get("tags", [])]
    return "\n".join("".join(cell["source"]) for cell in cells)


def notebook_hash(name: str) -> str:
    """Return a hash of that code that only changed code changes, not prose, comments or the parameters' defaults."""
    return code_hash(ast.parse(code_of_notebook(name)))


def check_types(name: str, values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse unknown names, wrong types (an int may stand for a float) and numbers that are none; StudyError names it.

    What lists and mappings hold is judged by what their defaults hold: numbers in a mapping are weights.
    """
    for key, value in values.items():
        if key not in defaults:
            raise StudyError(f"{name} has no parameter {key}; it has {', '.join(defaults)}")
        check_value(f"{name}: {key}", value, defaults[key])


def check_value(label: str, value: Any, like: Any = None) -> None:
    """Raise StudyError, with the remedy, unless a value has the type of `like` (None: any) and can be used."""
    wanted = type(like)
    if like is not None and type(value) is not wanted and not (wanted is float and type(value) is int):
        raise StudyError(
            f"{label} must be {wanted.__name__}, not {value!r:.60} ({type(value).__name__}); write {FORMS[wanted]}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise StudyError(f"{label} must be finite, not {value}; write {FORMS[float]}")
    if isinstance(value, str) and (odd := ODD.search(value)):
        raise StudyError(f"{label} holds the character {odd[0]!r}; write it without")
    if isinstance(value, list):
        for place, item in enumerate(value):
            check_value(f"{label}[{place}]", item, like[0] if like else None)
    if isinstance(value, dict):
        check_mapping(label, value, next(iter(like.values()), None) if like else None)


def check_mapping(label: str, values: dict[Any, Any], like: Any) -> None:
    """Check the values of a mapping; where `like` is a number they are weights: none negative, not all zero."""
    weights = type(like) in (int, float)
    for key, value in values.items():
        check_value(f"{label}[{key!r}]", value, 1.0 if weights else like)
        if weights and value < 0:
            raise StudyError(f"{label}[{key!r}] must not be negative, as {value} is; write 0 to leave it out")
    if weights and not any(values.values()):
        raise StudyError(f"{label} needs a weight above 0; write {FORMS[dict]}")
