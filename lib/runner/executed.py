"""An executed notebook as it is kept: one parameters cell with the values used, no dead widgets, no warnings."""

import ast
from typing import Any

from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"


def tidied(book: NotebookNode, parameters: dict[str, Any]) -> NotebookNode:
    """Return an executed notebook without what papermill and engines leave in it.

    papermill puts the values into a second cell below the parameters; here they stand in the parameters cell, whose
    comments say what they mean. Widgets are dead without their kernel, and what libraries write to standard error is in
    the stage's log.
    """
    kept = [cell for cell in book.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    injected = [cell for cell in book.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    for cell in kept:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = with_values(cell.source, parameters)
            cell.execution_count = next((each.execution_count for each in injected), cell.execution_count)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_noise(output)]
    book.cells = kept
    book.metadata.pop("widgets", None)
    return book


def is_noise(output: NotebookNode) -> bool:
    """Tell whether an output is a widget's place or a line on standard error."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def with_values(source: str, parameters: dict[str, Any]) -> str:
    """Return a parameters cell with other values; comments and order stay."""
    lines = source.split("\n")
    for node in reversed(ast.parse(source).body):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        value, name = node.value, node.targets[0].id
        if name in parameters and parameters[name] != ast.literal_eval(value):
            first, last = lines[value.lineno - 1].encode(), lines[(value.end_lineno or value.lineno) - 1].encode()
            text = first[: value.col_offset].decode() + repr(parameters[name]) + last[value.end_col_offset :].decode()
            lines[value.lineno - 1 : value.end_lineno] = [text]
    return "\n".join(lines)
