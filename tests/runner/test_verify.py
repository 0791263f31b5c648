"""Verification: an equal run holds, and every way of altering one is named and ends with the status it must."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.core.study import STAGES, Stage, with_role
from lib.runner.verify import OK, UNDECIDED, WRONG, Check, verify
from lib.runner.verify.__main__ import main

LAPTOP = ROOT / "data" / "reference" / "laptop"
SEEDS, GENERATED, FILTERED, TRAINED, SCORED = NAMES = [stage.name for stage in with_role("study")]
(BEYOND,) = (stage.name for stage in with_role("beyond"))
MANIFESTS = {name: json.loads((LAPTOP / name / "manifest.json").read_text()) for name in NAMES}
SCORES = json.loads((LAPTOP / SCORED / "scores.json").read_text())
ROW = SCORES["scores"][-1]  # a score, and what its line is called
PASS = f"pass@1 of {ROW['model']} on {ROW['benchmark']} (%)"
SAMPLES = next(name for name in MANIFESTS[SCORED]["outputs"] if name.startswith("samples"))


def unpack(reference: Path, run: Path) -> Path:
    """A run's folder as it was before it became a reference; the model's files are not to be had."""
    for path in (path for path in reference.rglob("*") if path.is_file() and path.suffix != ".ipynb"):
        target = run / path.relative_to(reference)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            target.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, target)
    return run


class Run:
    """A finished run that equals the reference until it is altered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, stage, file):
        return [json.loads(line) for line in (self.folder / stage / file).read_text().splitlines()]

    def manifest(self, stage, change):
        path = self.folder / stage / "manifest.json"
        made = json.loads(path.read_text())
        change(made)
        path.write_text(json.dumps(made))

    def rewrite(self, stage, file, text):
        """Another content for a file, with every manifest changed to fit."""
        data = text.encode()
        (self.folder / stage / file).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        if file in json.loads((self.folder / stage / "manifest.json").read_text())["outputs"]:
            self.manifest(stage, lambda made: made["outputs"].update({file: {"sha256": sha256, "bytes": len(data)}}))
        for later in NAMES:
            name = f"{stage}/{file}"
            self.manifest(
                later, lambda made, name=name: name in made["inputs"] and made["inputs"].update({name: sha256})
            )

    def edit(self, stage, file, change):
        """Change a file's records in place, consistently."""
        rows = self.lines(stage, file)
        change(rows)
        self.rewrite(stage, file, "".join(json.dumps(row) + "\n" for row in rows))

    def scores(self, change):
        path = self.folder / SCORED / "scores.json"
        made = json.loads(path.read_text())
        change(made)
        self.rewrite(SCORED, "scores.json", json.dumps(made))

    def checks(self, reference=LAPTOP):
        return {(check.stage, check.what): check for check in verify(self.folder, reference)}

    def wrong(self):
        return {key: check.said for key, check in self.checks().items() if check.mark == WRONG}

    def status(self, *words):
        return main(["--run", self.folder.name, "--reference", "laptop", *words])


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return unpack(LAPTOP, tmp_path_factory.mktemp("template") / "mine")


@pytest.fixture
def run(template, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Run(Path(shutil.copytree(template, tmp_path / "mine")))


def set_row(rows, place=0, **values):
    rows[place].update(values)


def score(made, value, width=0.07):
    made["scores"][-1]["pass@1"].update(value=value, low=max(value - width, 0.0), high=min(value + width, 1.0))


def test_a_run_that_equals_the_reference_holds(run, capsys):
    checks = run.checks()
    assert not run.wrong() and run.status() == 0
    undecided = {key for key, check in checks.items() if check.mark == UNDECIDED}
    # the model's weights are not kept; the paper claims more than one run can speak about
    assert {(TRAINED, "files")} <= undecided and {(TRAINED, "files")} >= {key for key in undecided if key[0] != "claim"}
    records = [check.said for check in checks.values() if check.what.endswith(".jsonl")]
    assert len(records) >= 7 and all("same verdict" in said or said.startswith("all ") for said in records)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{len(checks) - len(undecided)} ok, 0 !!, {len(undecided)} --"


def test_an_altered_file_is_named(run):
    with (run.folder / SEEDS / "seeds.jsonl").open("a") as file:
        file.write('{"id":"new"}\n')
    wrong = run.wrong()
    assert "seeds.jsonl was altered" in wrong[SEEDS, "files"]
    assert "in one only: new" in wrong[SEEDS, "seeds.jsonl"]
    assert run.status() == 1


def test_a_file_that_cannot_be_read_is_wrong_and_the_rest_is_still_judged(run):
    path = run.folder / FILTERED / "verdicts.jsonl"
    lines = len(run.lines(FILTERED, "verdicts.jsonl"))
    path.write_text(path.read_text()[:-20])
    wrong = run.wrong()
    assert f"verdicts.jsonl:{lines} is not a JSON record" in wrong[FILTERED, "comparison"]
    assert "verdicts.jsonl was altered" in wrong[FILTERED, "files"]
    assert run.checks()[FILTERED, "funnel"].mark == OK and run.status() == 1
    run.scores(lambda made: made.pop("comparisons"))
    assert "'comparisons'" in run.wrong()["claim", "comparison"]


def test_a_missing_file_is_wrong_and_a_missing_model_is_not(run):
    (run.folder / FILTERED / "dataset.jsonl").unlink()
    wrong = run.wrong()
    assert "dataset.jsonl is missing" in wrong[FILTERED, "files"] and wrong[FILTERED, "dataset.jsonl"] == "is missing"
    assert "neither here nor in the reference: model/" in run.checks()[TRAINED, "files"].said


def test_an_altered_model_is_wrong(run):
    (run.folder / TRAINED / "model").mkdir(exist_ok=True)
    (run.folder / TRAINED / "model" / "model.safetensors").write_bytes(b"other weights")
    assert "model/model.safetensors was altered" in run.wrong()[TRAINED, "files"]


def test_a_broken_chain_of_inputs_is_wrong(run):
    """04 was trained on another dataset than the one that stands in 03 now."""
    name = f"{FILTERED}/dataset.jsonl"
    run.manifest(TRAINED, lambda made: made["inputs"].update({name: "0" * 64}))
    wrong = run.wrong()
    assert set(wrong) == {(TRAINED, "files")} and run.status() == 1
    assert wrong[TRAINED, "files"].startswith(f"its input {name} is not what was written there")


@pytest.mark.parametrize(
    ("stage", "file", "field"),
    [
        (SEEDS, "seeds.jsonl", "code"),
        (GENERATED, "concepts.jsonl", "concepts"),
        (GENERATED, "instructions.jsonl", "instruction"),
        (GENERATED, "responses.jsonl", "text"),
        (FILTERED, "dataset.jsonl", "response"),
    ],
)
def test_records_that_must_be_equal_are_compared_one_by_one(run, stage, file, field):
    """All hashes fit, but from the same completions came another record."""
    run.edit(stage, file, lambda rows: set_row(rows, 3, **{field: "altered"}))
    wrong = run.wrong()
    name = run.lines(stage, file)[3]["id"]
    assert set(wrong) == {(stage, file)} and f"{name}: other {field}" in wrong[stage, file]
    assert run.status() == 1


def test_an_equal_program_must_have_an_equal_verdict_but_a_timeout_may_come_and_go(run):
    rows = run.lines(FILTERED, "verdicts.jsonl")
    failed = [place for place, row in enumerate(rows) if row["verdict"] == "fail"][:2]
    run.edit(FILTERED, "verdicts.jsonl", lambda rows: set_row(rows, failed[0], verdict="timeout", detail=""))
    check = run.checks()[FILTERED, "verdicts.jsonl"]
    assert (check.mark, run.status()) == (UNDECIDED, 0) and "1 differ by a timeout" in check.said
    run.edit(FILTERED, "dataset.jsonl", lambda rows: rows.pop())
    assert run.checks()[FILTERED, "dataset.jsonl"].said.endswith("(made from other verdicts)") and run.status() == 0
    run.edit(FILTERED, "verdicts.jsonl", lambda rows: set_row(rows, failed[1], verdict="pass"))
    assert f"otherwise judged: {rows[failed[1]]['id']}" in run.wrong()[FILTERED, "verdicts.jsonl"]
    assert run.status() == 1


def test_how_a_record_came_about_does_not_count(run):
    run.edit(FILTERED, "verdicts.jsonl", lambda rows: [row.update(tier="docker") for row in rows])
    run.edit(GENERATED, "responses.jsonl", lambda rows: [row.update(engine="vllm 9") for row in rows])
    run.edit(SCORED, SAMPLES, lambda rows: [row.update(seconds=9.0) for row in rows])
    checks = run.checks()
    assert checks[GENERATED, "responses.jsonl"].mark == checks[FILTERED, "verdicts.jsonl"].mark == OK
    assert checks[SCORED, SAMPLES].mark == OK


def test_a_sample_of_the_benchmark_must_be_judged_alike(run):
    place = [row["verdict"] for row in run.lines(SCORED, SAMPLES)].index("fail")
    run.edit(SCORED, SAMPLES, lambda rows: set_row(rows, place, verdict="pass", passed=True))
    assert run.lines(SCORED, SAMPLES)[place]["id"] in run.wrong()[SCORED, SAMPLES]


def test_other_completions_are_a_rate_and_excuse_what_is_made_from_them(run):
    asked, made = (len(run.lines(GENERATED, file)) for file in ("completions.jsonl", "responses.jsonl"))
    run.edit(GENERATED, "completions.jsonl", lambda rows: [row.update(text="other") for row in rows[: asked // 10]])
    run.edit(GENERATED, "responses.jsonl", lambda rows: [row.update(text="other") for row in rows[:9]])
    checks = run.checks()
    assert f"{asked - asked // 10:,} of the {asked:,} (sampled)" in checks[GENERATED, "completions"].said
    assert "(90." in checks[GENERATED, "completions"].said
    responses = checks[GENERATED, "responses.jsonl"]
    assert responses.mark == UNDECIDED and responses.said.endswith("(made from other completions)")
    assert f"{made - 9:,} records are the same" in responses.said and run.status() == 0
    run.edit(FILTERED, "dataset.jsonl", lambda rows: set_row(rows, instruction="other"))
    dataset = run.checks()[FILTERED, "dataset.jsonl"]
    assert dataset.mark == UNDECIDED and "made from other inputs" in dataset.said


def test_a_yield_may_differ_within_its_interval_only(run):
    row = next(row for row in MANIFESTS[FILTERED]["funnel"] if 100 < row["in"] > 2 * row["out"])

    def passing(count):
        run.manifest(FILTERED, lambda made: [r.update(out=count) for r in made["funnel"] if r["step"] == row["step"]])

    passing(row["out"] + round(row["out"] ** 0.5))
    assert "the others within their intervals" in run.checks()[FILTERED, "funnel"].said and run.status() == 0
    passing(row["in"] * 4 // 5)
    share = 100 * (row["in"] * 4 // 5) / row["in"]
    assert f"{row['step']} {share:.1f} % of {row['in']:,}" in run.wrong()[FILTERED, "funnel"]
    run.manifest(FILTERED, lambda made: made["funnel"].pop())
    assert f"{MANIFESTS[FILTERED]['funnel'][-1]['step']} is in one only" in run.wrong()[FILTERED, "funnel"]


def test_the_held_out_loss_must_fall(run):
    losses = {row["step"]: row["held_out_loss"] for row in run.lines(TRAINED, "log.jsonl") if "held_out_loss" in row}
    last, before = max(losses), losses[min(losses)]

    def loss(rows, value):
        for row in rows:
            if row["step"] == last and "held_out_loss" in row:
                row["held_out_loss"] = value

    run.edit(TRAINED, "log.jsonl", lambda rows: loss(rows, before - 0.01))
    assert run.checks()[TRAINED, "held-out loss"].mark == OK
    run.edit(TRAINED, "log.jsonl", lambda rows: loss(rows, before + 0.5))
    assert f"{before:.3f} before, {before + 0.5:.3f} after" in run.wrong()[TRAINED, "held-out loss"]
    run.edit(TRAINED, "log.jsonl", lambda rows: loss(rows, float("nan")))
    assert (TRAINED, "held-out loss") in run.wrong()
    run.edit(TRAINED, "log.jsonl", lambda rows: [row.pop("held_out_loss", None) for row in rows])
    assert run.checks()[TRAINED, "held-out loss"].mark == UNDECIDED


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (ROW["pass@1"]["value"] + 0.04, OK),
        (ROW["pass@1"]["value"] - 0.08, OK),  # outside the reference's interval perhaps, but within the difference's
        (ROW["pass@1"]["value"] + 0.3, WRONG),
        (0.0, WRONG),
        (1.0, WRONG),
    ],
)
def test_a_score_must_lie_within_the_intervals(run, value, mark):
    run.scores(lambda made: score(made, value, 0.0 if value in (0.0, 1.0) else 0.07))  # as the bootstrap has it
    check = run.checks()[SCORED, PASS]
    assert check.mark == mark and check.said.startswith(f"{100 * value:.1f} (")
    assert run.status() == (1 if mark == WRONG else 0)


def test_a_score_of_another_version_or_of_nothing_is_not_compared(run):
    run.scores(lambda made: [row.update(version="9") or score(made, 0.9) for row in made["scores"]])
    check = run.checks()[SCORED, PASS]
    assert check.mark == UNDECIDED and check.said.startswith("9, ") and ROW["version"] in check.said
    run.edit(SCORED, SAMPLES, lambda rows: set_row(rows, verdict="cheat"))
    assert run.checks()[SCORED, SAMPLES].said.endswith("(another version of a benchmark)")
    run.scores(lambda made: made["scores"].pop())
    assert run.checks()[SCORED, PASS].said == "is not scored in this run"
    assert run.status() == 0


@pytest.mark.parametrize("mine", [True, False])
def test_a_benchmark_that_only_one_side_could_score_is_no_fault(run, tmp_path, mine):
    """Its data was on one machine only; what both scored is held to its intervals all the same."""
    reference = Path(shutil.copytree(LAPTOP, tmp_path / "reference"))
    richer = run if mine else Run(unpack(LAPTOP, reference))
    richer.scores(lambda made: made["scores"].append(made["scores"][-1] | {"benchmark": "Other+"}))
    step = {"step": "Other+: problems scored", "in": 9, "out": 9, "reasons": {}, "unit": "problems"}
    richer.manifest(SCORED, lambda made: made["funnel"].append(step))
    richer.manifest(SCORED, lambda made: made["outputs"].update({"samples_other.jsonl": {"sha256": "", "bytes": 0}}))
    rows = (richer.folder / SCORED / SAMPLES).read_text()
    richer.rewrite(SCORED, "samples_other.jsonl", rows)
    checks = run.checks(reference)
    where = "in the reference" if mine else "here"
    assert not [check for check in checks.values() if check.mark == WRONG]
    found = checks[SCORED, "funnel"]
    assert found.mark == UNDECIDED and found.said.endswith(f"in one only (Other+ is not scored {where})")
    if not mine:
        found = checks[SCORED, "samples_other.jsonl"]
        assert (found.mark, found.said) == (UNDECIDED, "is missing (Other+ is not scored here)")
    run.manifest(SCORED, lambda made: made["funnel"][0].update(out=1))
    run.edit(SCORED, SAMPLES, lambda rows: set_row(rows, verdict="cheat"))
    wrong = {key for key, check in run.checks(reference).items() if check.mark == WRONG}
    assert wrong == {(SCORED, "funnel"), (SCORED, SAMPLES)}


def test_a_claim_that_comes_out_otherwise_is_named(run, tmp_path):
    reference = Path(shutil.copytree(LAPTOP, tmp_path / "reference"))
    name, other = next(iter(SCORES["comparisons"])), Run(reference)
    lower, higher = ({"difference": d, "low": d - 0.05, "high": d + 0.05} for d in (-0.1, 0.1))
    line = ("claim", f"tuning-helps-format-aside on {name}")

    def judged(ours, theirs):
        for each, values in ((run, ours), (other, theirs)):
            each.scores(lambda made, values=values: made["comparisons"][name].update(values))
        return run.checks(reference)[line]

    assert judged(lower, lower).mark == judged(higher, higher).mark == OK
    flipped = judged(higher, lower)
    assert flipped.mark == WRONG and flipped.said.endswith(": holds; in the reference: does not hold")
    assert run.checks(reference)[SCORED, f"difference, {name} (points)"].mark == WRONG
    unclear = judged(higher | {"low": -0.1}, lower)
    assert unclear.mark == UNDECIDED and unclear.said.endswith("inconclusive; in the reference: does not hold")


def test_the_papers_value_is_judged_with_the_number_of_examples_that_were_trained_on(run):
    """A run of the paper's own model, on 58 examples and on nearly as many as the paper's."""
    run.manifest(SCORED, lambda made: made["parameters"].update(MODEL="Qwen/CodeQwen1.5-7B"))
    row = SCORES["scores"][-1] | {"model": "after", "benchmark": "HumanEval+", "version": "v0.1.9"}
    run.scores(lambda made: made["scores"].insert(0, row))  # before the reference's own, of another version
    line = ("claim", "tuned-value on HumanEval+")
    assert ": inconclusive; in the reference" in run.checks()[line].said
    run.manifest(TRAINED, lambda made: made["funnel"][-1].update(out=70_000))
    assert "does not hold; in the reference" in run.checks()[line].said


def test_what_was_asked_otherwise_is_said_and_excuses_what_follows(run):
    run.manifest(GENERATED, lambda made: made["parameters"].update(N_SEEDS=24, MAX_SEQS=1))
    run.edit(GENERATED, "concepts.jsonl", lambda rows: rows.pop())
    run.edit(FILTERED, "dataset.jsonl", lambda rows: rows.pop())
    run.scores(lambda made: score(made, 0.9))
    checks = run.checks()
    said = checks[GENERATED, "settings"].said
    there = MANIFESTS[GENERATED]["parameters"]["N_SEEDS"]
    assert said == f"differ: 02: N_SEEDS is 24 ({there} there)"  # MAX_SEQS says only how fast
    for key in (
        (GENERATED, "concepts.jsonl"),
        (FILTERED, "dataset.jsonl"),
        (SCORED, PASS),
    ):
        assert checks[key].mark == UNDECIDED and "N_SEEDS is 24" in checks[key].said
    assert run.status() == 0
    # but what comes before, and the verdict of an equal program, have no such reason
    run.edit(SEEDS, "seeds.jsonl", lambda rows: set_row(rows, code="altered"))
    run.edit(FILTERED, "verdicts.jsonl", lambda rows: set_row(rows, verdict="cheat"))
    assert {(SEEDS, "seeds.jsonl"), (FILTERED, "verdicts.jsonl")} == set(run.wrong())


def test_another_models_figures_are_not_compared(run):
    for stage in (GENERATED, TRAINED, SCORED):
        run.manifest(stage, lambda made: made["parameters"].update(MODEL="other"))
    checks = run.checks()
    for stage in (GENERATED, FILTERED, SCORED):
        assert checks[stage, "figures"].mark == UNDECIDED and "MODEL is 'other'" in checks[stage, "figures"].said
    assert not [key for key in checks if key[1].startswith("pass@1")]
    assert {check.mark for key, check in checks.items() if key[0] == "claim"} == {UNDECIDED}
    assert checks[SEEDS, "funnel"].mark == checks[TRAINED, "held-out loss"].mark == OK


def test_another_installation_is_said(run):
    run.manifest(BEYOND, lambda made: made["environment"]["packages"].update(torch="9"))
    check = run.checks()["run", "environment"]
    assert check.mark == UNDECIDED and "torch 9 (" in check.said


@pytest.mark.parametrize(
    "damage", [b"not gzip", gzip.compress(b"{}", mtime=0), None], ids=["not gzip", "other", "short"]
)
def test_an_altered_reference_is_wrong(run, tmp_path, damage):
    reference = Path(shutil.copytree(LAPTOP, tmp_path / "reference"))
    path = reference / FILTERED / "dataset.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    check = run.checks(reference)[FILTERED, "the reference's own files"]
    assert check.mark == WRONG and "dataset.jsonl altered" in check.said


def test_an_unfinished_run_has_its_own_status(run, capsys):
    shutil.rmtree(run.folder / TRAINED)
    (run.folder / SCORED / "manifest.json").unlink()
    shutil.rmtree(run.folder / BEYOND)  # no part of the study: its absence is said, and no more
    assert run.status() == 2
    seen = capsys.readouterr().out
    assert "is not finished: run `make 06 RUN=mine` first" in seen
    assert "is not finished: run `make 04 RUN=mine` first" in seen
    assert seen.splitlines()[-1].endswith("not finished: 04_sft, 05_evaluation")
    with (run.folder / SEEDS / "seeds.jsonl").open("a") as file:
        file.write("\n")
    assert run.status() == 1  # what is there is wrong all the same


def test_nothing_to_verify_says_what_to_do(run):
    shutil.rmtree(run.folder)
    with pytest.raises(StudyError, match="run `make study RUN=mine` first"):
        run.status()
    with pytest.raises(StudyError, match="make reference"):
        main(["--run", "mine", "--reference", "absent"])
    with pytest.raises(StudyError, match="is not a folder name"):
        main(["--run", "../mine"])
    unpack(LAPTOP, run.folder)
    for damaged in ("{", "{}", "[]"):
        (run.folder / SEEDS / "manifest.json").write_text(damaged)
        with pytest.raises(StudyError, match=r"is no manifest .*run `make 01` again$"):
            run.status()


def test_changed_code_is_told_and_is_no_reason(run):
    """A record that came out otherwise is wrong, whatever was changed in the code that made it."""
    path = "lib/select/selection.py"
    run.manifest(FILTERED, lambda made: made["reads"].update({path: "0" * 16}))
    checks = run.checks()
    assert (checks[FILTERED, "code"].mark, checks[FILTERED, "settings"].mark) == (UNDECIDED, OK)
    assert checks[FILTERED, "code"].said.startswith(f"changed: {path};") and run.status() == 0
    run.edit(FILTERED, "dataset.jsonl", lambda rows: set_row(rows, response="altered"))
    assert set(run.wrong()) == {(FILTERED, "dataset.jsonl")} and run.status() == 1


def test_other_data_are_a_reason(run):
    run.manifest(GENERATED, lambda made: made["reads"].update({"data/exemplars/01_limit_readings.md": "0" * 16}))
    run.edit(GENERATED, "concepts.jsonl", lambda rows: rows.pop())
    check = run.checks()[GENERATED, "concepts.jsonl"]
    assert check.mark == UNDECIDED and "01_limit_readings.md changed" in check.said


def test_a_sixth_notebook_takes_no_check_away(run, monkeypatch):
    """A row more in the graph, after the evaluation: everything is verified as before."""
    before = run.checks()
    more = Stage("06_more", (SCORED,), (), ("beyond",))
    for module in ("lib.core.study", "lib.runner.verify", "lib.runner.verify.finished"):
        monkeypatch.setattr(f"{module}.STAGES", (*STAGES, more))
    assert run.checks() == before and run.status() == 0
    shutil.copytree(run.folder / SEEDS, run.folder / more.name)
    assert run.checks() == before | {
        (more.name, "stage"): Check(UNDECIDED, more.name, "stage", "is not in the reference")
    }


def test_make_verify_is_the_command(run, tmp_path):
    """The target's own line, with the run's name taken from RUN or from the profile."""
    for words, name in ((["RUN=mine"], "mine"), (["PROFILE=some/laptop.yaml"], "laptop")):
        made = subprocess.run(["make", "-n", "verify", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f'-m lib.runner.verify --run "{name}"' in made.stdout
    environment = os.environ | {"STUDY_RUNS": str(tmp_path)}
    command = [sys.executable, "-m", "lib.runner.verify", "--run", "mine"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0 and "data/reference/laptop" in ended.stdout
