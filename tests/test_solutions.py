"""The worked solutions run, so that what they assert holds for the recorded run."""

import nbformat
import pytest

from lib.core.paths import ROOT

SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem[:2])
def test_a_solution_holds(path, capsys) -> None:
    book = nbformat.read(path, as_version=4)
    cells = [cell["source"] for cell in book.cells if cell["cell_type"] == "code"]
    assert any("assert " in source for source in cells)
    assert f"# Solutions to {path.stem[:2]} · " in book.cells[0]["source"]
    scope: dict = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"{path.name}, cell {number}", "exec"), scope)
    assert capsys.readouterr().out


def test_every_solution_is_of_a_notebook_and_has_no_output() -> None:
    assert SOLUTIONS
    for path in SOLUTIONS:
        assert (ROOT / "notebooks" / path.name).is_file()
        book = nbformat.read(path, as_version=4)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells)
