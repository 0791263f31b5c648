"""What is kept of an executed notebook: one parameters cell with the values used, nothing dead, nothing of engines."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lib.runner.executed import WIDGET, tidied, with_values

CELL = """RUN = "laptop"  # the run's folder
WEIGHTS = {
    "easy": 3,
}  # of the difficulties
RATE = 5e-5  # é, at its peak
KEPT = 1  # as it is"""


def test_a_parameters_cell_gets_the_values_that_were_used():
    values = {"RUN": "mine", "WEIGHTS": {"easy": 1}, "RATE": 1e-5, "KEPT": 1}
    assert (
        with_values(CELL, values)
        == """RUN = 'mine'  # the run's folder
WEIGHTS = {'easy': 1}  # of the difficulties
RATE = 1e-05  # é, at its peak
KEPT = 1  # as it is"""
    )


def test_the_second_parameters_cell_dead_widgets_and_warnings_go():
    outputs = [
        new_output("stream", name="stderr", text="WARNING of an engine"),
        new_output("display_data", data={WIDGET: {"model_id": "1"}, "text/plain": "HBox"}),
        new_output("stream", name="stdout", text="a result"),
    ]
    cells = [
        new_code_cell(CELL, metadata={"tags": ["parameters"]}, execution_count=1),
        new_code_cell("KEPT = 2", metadata={"tags": ["injected-parameters"]}, execution_count=2),
        new_code_cell("print('a result')", outputs=outputs, execution_count=3),
    ]
    book = tidied(new_notebook(cells=cells, metadata={"widgets": {"state": {}}}), {"KEPT": 2})
    nbformat.validate(book)
    first, last = book.cells
    assert first.source.endswith("KEPT = 2  # as it is") and first.execution_count == 2
    assert [output.get("text") for output in last.outputs] == ["a result"] and "widgets" not in book.metadata
