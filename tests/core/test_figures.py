"""Figures have alternative text in words, also where a notebook gives none."""

from lib.core import figures
from lib.core.statistics import estimate_share

ROWS = [{"step": "parses", "in": 10, "out": 7}, {"step": "has the size", "in": 7, "out": 2}]


def test_a_figure_says_what_stands_on_it() -> None:
    said = repr(figures.funnel(ROWS, "01 · seeds"))
    assert said.startswith("01 · seeds (n = 10). across: records left after the step")
    assert said.endswith("rows: parses; has the size")
    assert "marks: median 2" in repr(figures.histogram([1, 2, 3], "Lengths", "tokens"))


def test_pass_rates_name_their_groups_and_tasks() -> None:
    said = repr(figures.pass_rates({"easy": estimate_share([(1, 4), (0, 4)], 100, 0)}, "By difficulty"))
    assert "easy (2 tasks)" in said and "intervals over tasks" in said


def test_a_notebook_gets_the_alternative_text_with_the_image() -> None:
    figure = figures.funnel(ROWS, "01 · seeds")
    figure.alt = "Two of ten are left."
    images, about = figure._repr_mimebundle_()
    assert images["image/png"].startswith("iVBOR") and about == {"image/png": {"alt": "Two of ten are left."}}
