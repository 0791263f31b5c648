"""All five notebooks at the smoke profile, with a real embedded model: the whole study is true from end to end.

The one run of the tests that generates, so it also is killed with -9 while it does, resumes, and is replayed.
"""

import json
from pathlib import Path

import nbformat
import pytest
import yaml
from helpers import Runner, kill_nine, lines, wait_for_lines, wait_until_gone

from lib.core.paths import ROOT
from lib.core.records import canonical
from lib.core.study import with_role

SMOKE = ROOT / "notebooks" / "params" / "smoke.yaml"
SYNTHESIS = "02_self_oss_instruct"


@pytest.mark.engine
def test_the_whole_study_survives_a_kill_and_replays(runner: Runner) -> None:
    folder = runner.runs / "smoke"
    journal = folder / SYNTHESIS / "completions.jsonl"
    process = runner.start("study", "--profile", "smoke")
    wait_for_lines(process, journal, 12, 400)
    wait_until_gone(kill_nine(process))
    assert not (folder / SYNTHESIS / "manifest.json").exists()
    with journal.open("ab") as file:
        file.write(b'{"id":"torn')  # as a crash in the middle of a write leaves it
    before = [json.loads(line) for line in lines(journal)[:-1]]

    output = runner.run("study", "--profile", "smoke")
    assert output.count("done before") == 1  # 01
    after = [json.loads(line) for line in lines(journal)]
    assert after[: len(before)] == before  # every stored completion is kept, none is asked for twice
    assert len({record["id"] for record in after}) == len(after) > len(before)
    the_run_is_complete(folder, output)

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}

    untouched = times()
    assert runner.run("study", "--profile", "smoke").count("done before") == len(with_role("study"))
    assert times() == untouched
    it_replays(runner, folder, after)


def the_run_is_complete(folder: Path, output: str) -> None:
    """Every notebook was executed, and every input is an output of the stage that it names."""
    inputs = {}
    for number, name in enumerate([stage.name for stage in with_role("study")], 1):
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


def it_replays(runner: Runner, folder: Path, completions: list[dict]) -> None:
    """An undisturbed run that gets these completions makes these requests, all of them, with these records."""
    sections = yaml.safe_load(SMOKE.read_text())
    sections[SYNTHESIS] |= {"REPLAY_FROM": str(folder)}
    arguments = ("02", "--profile", runner.profile("again", sections), "--run", "again", "--engine", "replay")
    again = runner.runs / "again"
    again.mkdir()
    (again / "01_seed_curation").symlink_to(folder / "01_seed_curation")
    runner.run(*arguments)
    again /= SYNTHESIS
    for name in ("concepts.jsonl", "instructions.jsonl", "responses.jsonl"):
        assert (again / name).read_bytes() == (folder / SYNTHESIS / name).read_bytes()
    asked = {json.loads(line)["id"] for line in lines(again / "completions.jsonl")}
    assert asked == {record["id"] for record in completions}

    # Replay with a completion missing names the request and stops.
    journal = folder / SYNTHESIS / "completions.jsonl"
    journal.write_text("".join(canonical(record) + "\n" for record in completions[:-1]))
    for file in ("completions.jsonl", "manifest.json"):
        (again / file).unlink()
    assert "ENGINE=replay has no completion" in runner.fail(*arguments)
