"""The notebooks that read recorded runs and trainings, and run no model: 00, 07 and 08, executed."""

import json

import nbformat
import pytest
from helpers import Runner

from lib.core.paths import ROOT
from lib.core.records import read_records
from lib.core.stages import STAGES
from lib.experiment.plan_file import read_plan

RECORDED = [stage for stage in STAGES if "read" in stage.roles]


def printed(runner: Runner, name: str) -> str:
    """Return what the cells of an executed notebook show as text."""
    book = nbformat.read(runner.runs / "laptop" / name / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in book.cells if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    outputs = [out for cell in cells for out in cell["outputs"]]
    texts = [out.get("text") or out["data"].get("text/markdown") or out["data"].get("text/plain") for out in outputs]
    return "\n".join(texts)


@pytest.mark.parametrize("stage", RECORDED, ids=lambda stage: stage.number)
def test_they_run_from_the_repository_alone(runner: Runner, stage) -> None:
    runner.run(stage.number)
    said = printed(runner, stage.name)
    if "start" in stage.roles:
        (laptop,) = (ROOT / place for place in stage.reads)
        kept = read_records(next(laptop.glob("*/dataset.jsonl.gz")))
        assert any(example["response"].strip() in said for example in kept)
    else:
        made = json.loads((runner.runs / "laptop" / stage.name / "manifest.json").read_text())
        plan = read_plan(ROOT / made["parameters"]["PLAN"])
        assert all(question.id in said and question.asks in said for question in plan.questions)
        plans = [plan, *(read_plan(ROOT / place) for name, place in made["parameters"].items() if name == "FURTHER")]
        assert made["metrics"]["questions"].keys() == {question.id for of in plans for question in of.questions}
        assert list((runner.runs / "laptop" / stage.name / "figures").glob("*.png"))
