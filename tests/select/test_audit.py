"""The audit: what is drawn, whose labels there are, and precision and recall from them."""

import pytest

from lib.core.paths import ROOT
from lib.core.records import read_records
from lib.core.study import only
from lib.select import audit

PROGRAMS = [{"id": f"{n:02d}", "code": f"def f(): return {n % 15}", "tests": ""} for n in range(40)]
INSTRUCTIONS = {program["id"]: "Return it." for program in PROGRAMS}
PASSED = {program["id"] for program in PROGRAMS[:25]}


def test_a_draw_is_of_different_programs_of_each_kind_and_a_larger_one_begins_with_it() -> None:
    few, many = (audit.draw(PROGRAMS, INSTRUCTIONS, PASSED, count) for count in (3, 30))
    assert [program["passed"] for program in few] == [True] * 3 + [False] * 3
    assert few[:3] == many[:3] and few[3:] == many[15:18]
    assert len(many) == 30, "15 different programs of each kind"
    assert len({(program["key"], program["passed"]) for program in many}) == 30
    backwards = audit.draw(PROGRAMS[::-1], INSTRUCTIONS, PASSED, 3)
    assert [program["key"] for program in backwards] == [program["key"] for program in few]


def test_the_recorded_run_has_a_label_for_all_that_is_drawn_of_it() -> None:
    laptop = ROOT / "data" / "reference" / "laptop"
    tasks, responses = (
        {row["id"]: row for row in read_records(laptop / only("synthesis") / f"{file}.jsonl.gz")}
        for file in ("instructions", "responses")
    )
    programs = list(read_records(laptop / only("filtering") / "verdicts.jsonl.gz"))
    texts = {row["id"]: tasks[responses[row["id"]]["parent"]]["instruction"] for row in programs}
    drawn = audit.draw(programs, texts, {row["id"] for row in programs if row["verdict"] == "pass"}, 20)
    labels = audit.read_labels()
    assert {program["key"] for program in drawn} == labels.keys() and len(labels) == 40
    assert all(isinstance(label["right"], bool) and label["why"] for label in labels.values())


def test_precision_and_recall_are_those_of_the_whole_run() -> None:
    """Of 100 programs 20 pass: 18 of them are right, and 20 of the 80 others: 18 of 38 right ones are found."""
    precision, recall = audit.worth((9, 10), (5, 20), 0.2, 4000, 0)
    assert precision.value == pytest.approx(0.9) and recall.value == pytest.approx(18 / 38)
    assert precision.low < 0.9 < precision.high <= 1 and 0 < recall.low < 18 / 38 < recall.high
    sure = audit.worth((900, 1000), (500, 2000), 0.2, 4000, 0)[1]
    assert sure.high - sure.low < (recall.high - recall.low) / 5
    assert audit.worth((0, 10), (0, 10), 0.2, 100, 0)[1].value == 0
    assert audit.worth((10, 10), (0, 10), 0.2, 100, 0)[1].value == 1
