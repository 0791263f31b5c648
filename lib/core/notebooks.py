"""The stored notebooks: their code, their parameters and the defaults of these."""

import ast
import json
from typing import Any

from lib.core.code import code_hash
from lib.core.paths import ROOT
from lib.core.records import Record, StudyError


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
    """Refuse unknown names and wrong types (an int may stand for a float); StudyError names each."""
    for key, value in values.items():
        if key not in defaults:
            raise StudyError(f"{name} has no parameter {key}; it has {', '.join(defaults)}")
        wanted = type(defaults[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise StudyError(f"{name}: {key} must be {wanted.__name__}, not {value!r} ({type(value).__name__})")
