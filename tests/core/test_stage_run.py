"""A stage at work: a step that leaves nothing ends the run and says why."""

import pytest

from lib.core.records import StudyError
from lib.core.stage_run import StageRun
from lib.core.study import STAGES, only


def funnel(name):
    """Return a stage of which only the funnel is at work."""
    stage = StageRun.__new__(StageRun)
    stage.name, stage.funnel = name, []
    return stage


@pytest.mark.parametrize("name", [stage.name for stage in STAGES if "scoring" not in stage.roles])
def test_a_step_that_leaves_nothing_names_the_most_frequent_reasons(name):
    reasons = {"rare": 1, "licence": 3000, "never": 0, "encoding": 20}
    with pytest.raises(StudyError) as error:
        funnel(name).step("files read", 3021, 0, reasons, "files")
    said = "'files read' (3,021 files removed, most often licence: 3,000, encoding: 20, rare: 1); "
    assert said in str(error.value) and "\n" not in str(error.value) and "never" not in str(error.value)


def test_of_many_reasons_five_are_named():
    reasons = {f"fault {number}": number for number in range(1, 9)}
    with pytest.raises(StudyError, match=r"records removed, most often fault 8: 8, .*, fault 4: 4\);"):
        funnel(STAGES[0].name).step("rules", 36, 0, reasons)


def test_a_step_to_which_nothing_comes_says_that():
    with pytest.raises(StudyError, match="nothing is left after 'files read' .nothing came in.; "):
        funnel(STAGES[0].name).step("files read", 0, 0, {}, "files")


def test_an_evaluation_may_solve_nothing():
    stage = funnel(only("evaluation"))
    stage.step("humaneval: solved before", 4, 0, {"fail": 4}, "answers")
    assert stage.funnel[0]["out"] == 0
