"""All five notebooks at the smoke profile, with a real embedded model: the whole study is true from end to end."""

import json

import nbformat
import pytest

from lib.core.study import STAGES


@pytest.mark.engine
def test_the_whole_study_runs_and_running_it_again_does_nothing(runner):
    output = runner.run("study", "--profile", "smoke")
    folder = runner.runs / "smoke"
    inputs = {}
    for number, name in enumerate([stage.name for stage in STAGES], 1):
        assert f"[{number}/5] {name}" in output
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["funnel"]
        inputs |= manifest["inputs"]
        book = nbformat.read(folder / name / f"{name}.ipynb", as_version=4)
        assert all(cell["execution_count"] for cell in book.cells if cell["cell_type"] == "code")
        pictures = sum("image/png" in out.get("data", {}) for c in book.cells for out in c.get("outputs", []))
        assert pictures and list((folder / name / "figures").glob("*.png"))
        assert str(folder) not in json.dumps(manifest)
    for file, sha256 in inputs.items():
        stage, _, name = file.partition("/")
        outputs = json.loads((folder / stage / "manifest.json").read_text())["outputs"]
        assert outputs[name]["sha256"] == sha256
    scores = json.loads((folder / "05_evaluation" / "scores.json").read_text())
    assert scores["table"] in output and scores["summary"] in output
    assert (folder / "04_sft" / "model" / "model.safetensors").is_file()

    def times():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}

    before = times()
    assert runner.run("study", "--profile", "smoke").count("done before") == 5
    assert times() == before
