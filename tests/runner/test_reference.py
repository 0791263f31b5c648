"""The committed reference is whole, and the README says nothing else."""

import json
import re

import nbformat
import pytest

from lib.core.notebooks import parameter_defaults
from lib.core.paths import ROOT
from lib.core.record_types import RECORD_TYPES
from lib.core.records import StudyError, file_sha256, read_records
from lib.core.stage_run import StageRun
from lib.core.study import STAGES, only, with_role
from lib.runner import reference
from lib.runner.verify.finished import NEEDED, Finished

NAMES = [stage.name for stage in with_role("study")]
LAPTOP, READ = (ROOT / "data" / "reference" / name for name in ("laptop", "read"))
# Notebooks that only read the other records are recorded apart from these.
RECORDED = {stage.name: READ if "read" in stage.roles else LAPTOP for stage in STAGES}


@pytest.mark.parametrize("name", reference.BLOCKS)
def test_the_readme_holds_the_references_numbers(name):
    text = (ROOT / "README.md").read_text()
    first, last = reference.marks(name)
    assert text.split(first)[1].split(last)[0].strip() == reference.BLOCKS[name]().strip()


@pytest.mark.parametrize("name", RECORDED)
def test_a_stage_of_the_reference_is_whole(name):
    manifest = json.loads((RECORDED[name] / name / "manifest.json").read_text())
    for file, facts in manifest["outputs"].items():
        path = RECORDED[name] / name / f"{file}.gz"
        if path.is_file():
            assert file_sha256(path) == facts["sha256"], file
            assert read_records(path)
    book = nbformat.read(RECORDED[name] / name / f"{name}.ipynb", as_version=4)
    assert all(cell["execution_count"] for cell in book.cells if cell["cell_type"] == "code")
    assert str(ROOT) not in json.dumps(book)


@pytest.mark.parametrize(("role", "file"), RECORD_TYPES)
def test_the_records_are_what_their_types_say(role, file):
    kind = RECORD_TYPES[role, file]
    for record in read_records(LAPTOP / only(role) / f"{file}.gz"):
        assert kind.__required_keys__ <= record.keys() <= kind.__annotations__.keys()


def test_the_references_figures_are_in_figures():
    names = {path.name[:2] for path in (ROOT / "figures").glob("*.png")}
    assert names == {name[:2] for name, place in RECORDED.items() if place == LAPTOP}


def test_every_training_example_can_be_followed_back_to_its_source_line():
    def load(stage, file):
        return {record["id"]: record for record in read_records(LAPTOP / stage / f"{file}.jsonl.gz")}

    seeds = load("01_seed_curation", "seeds")
    concepts, tasks, responses = (
        load("02_self_oss_instruct", name) for name in ("concepts", "instructions", "responses")
    )
    completions = load("02_self_oss_instruct", "completions")
    verdicts, dataset = (load("03_execution_filtering", name) for name in ("verdicts", "dataset"))
    assert len(dataset) > 1
    for example in dataset.values():
        response = responses[example["parent"]]
        task = tasks[response["parent"]]
        concept = concepts[task["parent"]]
        seed = seeds[concept["seed"]]
        assert verdicts[response["id"]]["verdict"] == "pass"
        assert example["source"] == seed["source"] and seed["source"]["line"] > 0 and seed["source"]["licence"]
        assert {response["request"], task["request"], concept["request"]} <= completions.keys()


def test_an_unfinished_run_is_not_promoted(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    with pytest.raises(StudyError, match="not run yet"):
        reference.promote("nothing", "laptop")


def test_some_stages_are_recorded_under_a_name_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(reference, "REFERENCES", tmp_path / "reference")
    name = only("curation")
    stage = StageRun(name, parameter_defaults(name) | {"RUN": "small"})
    stage.write("seeds.jsonl", [{"id": "a"}])
    stage.step("part", 1, 1, unit="seeds")
    stage.finish()
    stage.path(f"{name}.ipynb").write_text("{}")
    with pytest.raises(StudyError, match="02_self_oss_instruct: not run yet"):
        reference.promote("small", "laptop", "pool", ["01", "02"])
    folder = reference.promote("small", "laptop", "pool", ["01"])
    assert folder == tmp_path / "reference" / "pool"
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert kept == [f"{name}/{file}" for file in (f"{name}.ipynb", "manifest.json", "seeds.jsonl.gz")]
    (folder / "04_sft").mkdir()
    (folder / "04_sft" / "manifest.json").write_text("{}")  # a stage recorded before: it stays
    stage.write("seeds.jsonl", [{"id": "b"}])
    stage.finish()
    assert reference.promote("small", "laptop", "pool", ["01"]) == folder
    assert (folder / "04_sft" / "manifest.json").is_file()
    assert [record["id"] for record in read_records(folder / name / "seeds.jsonl.gz")] == ["b"]
    with pytest.raises(StudyError, match="there is no stage 09"):
        reference.promote("small", "laptop", "pool", ["09"])


def test_figures_of_other_notebooks_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    made = tmp_path / "runs" / "a" / "06_beyond_functions" / "figures"
    made.mkdir(parents=True)
    (tmp_path / "figures").mkdir()
    for path in (made / "new.png", *(tmp_path / "figures" / name for name in ("05_scores.png", "06_old.png"))):
        path.write_bytes(b"")
    reference.copy_figures("a", ["06_beyond_functions"])
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"05_scores.png", "06_new.png"}


def test_what_may_not_be_published_is_not_in_the_reference():
    """Of LiveCodeBench, DS-1000 and CanItEdit ids, hashes and kinds of verdicts; no answers, statements or messages."""
    folder = LAPTOP / "06_beyond_functions"
    for label in ("before", "after"):
        for slug in ("livecodebench", "ds_1000", "canitedit"):
            rows = read_records(folder / f"samples_{label}_{slug}.jsonl.gz")
            assert rows and all(not row.keys() & {"solution", "detail", "text", "prompt"} for row in rows)
            assert max(len(str(value)) for row in rows for value in row.values()) <= 64
    kept = {record["id"] for record in read_records(folder / "completions.jsonl.gz")}
    cost = json.loads((folder / "manifest.json").read_text())["metrics"]["cost"]
    published = [name for name in cost if name.endswith(("EvalPerf", "holistic", "incremental", "compositional"))]
    assert len(kept) >= sum(cost[name]["completions"] for name in published) and not list(folder.rglob("unpublished*"))


def test_a_copied_manifest_has_the_hash_of_the_text_that_was_copied(tmp_path):
    """A file that named this machine's folders is rewritten; the reference is not "altered" by that."""
    stage, target = tmp_path / "run" / only("evaluation"), tmp_path / "reference" / only("evaluation")
    (stage / "dataset").mkdir(parents=True)
    texts = {
        "scores.json": json.dumps({"model": str(ROOT / "data" / "model")}),
        "dataset/README.md": f"made in {ROOT}/data\n",
        "samples.jsonl": json.dumps({"id": "one", "detail": str(ROOT)}) + "\n",
    }
    for file, text in texts.items():
        (stage / file).write_text(text)
        reference.copy(stage / file, target / file)
    outputs = {file: {"sha256": file_sha256(stage / file), "bytes": (stage / file).stat().st_size} for file in texts}
    outputs["model.safetensors"] = absent = {"sha256": "of the weights", "bytes": 9}
    empty = {key: {} for key in NEEDED if key != "outputs"}
    (stage / "manifest.json").write_text(json.dumps({"outputs": outputs, **empty}))
    assert Finished(stage.parent).altered(stage.name) == []
    reference.copy(stage / "manifest.json", target / "manifest.json")
    copied = Finished(target.parent)
    assert str(ROOT) not in (target / "scores.json").read_text() and copied.altered(stage.name) == []
    kept = copied.manifests[stage.name]["outputs"]
    assert kept["samples.jsonl"] == outputs["samples.jsonl"] and kept["model.safetensors"] == absent
    assert kept["scores.json"]["bytes"] == (target / "scores.json").stat().st_size < outputs["scores.json"]["bytes"]
    (stage / "scores.json").write_text("{}")
    reference.copy(stage / "scores.json", target / "scores.json")
    reference.copy(stage / "manifest.json", target / "manifest.json")
    assert Finished(target.parent).altered(stage.name) == ["scores.json"]


def test_a_folder_of_runs_that_lies_elsewhere_is_named_like_the_usual_one(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "mine"))
    assert reference.without_machine(f"in {tmp_path}/mine/laptop/04_sft") == "in data/runs/laptop/04_sft"


def test_no_verdict_names_a_folder_of_the_machine_that_made_it():
    for path in LAPTOP.rglob("*.jsonl.gz"):
        for record in read_records(path):
            assert not re.search(r"/(?:root|home|Users)/[\w.-]+/", record.get("detail", "")), path.name
