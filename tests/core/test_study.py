"""The graph of stages, and a stage's manifest: what it read, what it wrote, and why it has to be run again."""

import json
import subprocess
import sys
import time

import pytest

from lib.core import study
from lib.core.notebooks import check_types, notebook_hash, parameter_defaults
from lib.core.paths import ROOT, run_folder
from lib.core.progress import Progress, clock
from lib.core.records import StudyError
from lib.core.stage_run import TIME, StageRun, start
from lib.core.study import STAGES, Stage, only, source_of, stage_of, undone, with_ancestors, with_role

NAMES = [stage.name for stage in STAGES]
SEEDS, TASKS = NAMES[1:3]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return tmp_path


def parameters(name, **changes):
    return parameter_defaults(name) | {"RUN": "t"} | changes


def finished(name, **changes):
    stage = StageRun(name, parameters(name, **changes))
    stage.write("seeds.jsonl", [{"id": "a"}])
    stage.finish()
    return stage


def test_the_graph_can_run_in_its_order_and_every_stage_has_its_notebook():
    for place, stage in enumerate(STAGES):
        assert {need for need in stage.needs if ":" not in need} <= set(NAMES[:place])
        assert (ROOT / "notebooks" / f"{stage.name}.ipynb").is_file() and stage_of(stage.number) is stage
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == set(NAMES)
    study = [only(role) for role in ("curation", "synthesis", "filtering", "training", "evaluation")]
    assert [stage.name for stage in with_role("study")] == study == NAMES[1:6]
    assert [stage.name for stage in with_role("scoring")] == [only("evaluation"), only("beyond")]


def test_what_a_stage_reads_of_its_parents_is_what_it_needs():
    """The stages that a notebook names are those that its row names."""
    for stage in STAGES:
        text = (ROOT / "notebooks" / f"{stage.name}.ipynb").read_text()
        code = "".join(
            "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
        ).replace(f'start("{stage.name}"', "")
        assert {name for name in NAMES if f'"{name}' in code} <= set(stage.needs), stage.name


def test_ancestors_are_those_of_the_same_run(monkeypatch):
    rows = (Stage("01_a"), Stage("02_b", ("01_a",)), Stage("03_c", ("pool:01_a",)), Stage("04_d", ("02_b", "03_c")))
    monkeypatch.setattr(study, "STAGES", rows)
    assert [stage.name for stage in with_ancestors([rows[3]])] == ["01_a", "02_b", "03_c", "04_d"]
    assert [stage.name for stage in with_ancestors([rows[2]])] == ["03_c"]
    with pytest.raises(StudyError, match="there is no stage 09; the study has 01_a, 02_b"):
        stage_of("09")


def test_an_input_names_its_run_its_stage_and_its_file():
    assert source_of("01_a/model/x.json", "mine") == ("mine", "01_a", "model/x.json")
    assert source_of("pool:01_a/x", "mine") == ("pool", "01_a", "x") and source_of("01_a", "mine") == (
        "mine",
        "01_a",
        "",
    )


def test_a_stage_is_done_only_while_everything_matches(runs):
    assert undone("t", SEEDS, parameters(SEEDS)) == "not run yet"
    finished(SEEDS)
    assert undone("t", SEEDS, parameters(SEEDS)) is None
    assert "SHUFFLE_SEED changed" in str(undone("t", SEEDS, parameters(SEEDS, SHUFFLE_SEED=1)))
    child = StageRun(TASKS, parameters(TASKS))
    assert child.read(SEEDS, "seeds.jsonl") == [{"id": "a"}]
    assert undone("t", TASKS, parameters(TASKS)) == "not finished"
    child.finish()
    assert undone("t", TASKS, parameters(TASKS)) is None
    assert undone("t", TASKS, parameters(TASKS, ENGINE="replay")) is None  # how, not what
    parent = StageRun(SEEDS, parameters(SEEDS))
    parent.write("seeds.jsonl", [{"id": "b"}])
    parent.finish()
    assert undone("t", TASKS, parameters(TASKS)) == f"its input {SEEDS}/seeds.jsonl changed"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the repository's code and data that a test may edit, as the study sees it."""
    import shutil

    root = tmp_path / "copy"
    for folder in ("lib", "notebooks", "data/judge", "data/corpora", "data/benchmarks"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("lib.core.study", "lib.core.notebooks"):
        monkeypatch.setattr(f"{module}.ROOT", root)
    return root


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("lib/curate/rules.py", "\nSOMETHING = 1\n"),  # imported by the notebook
        ("lib/overlap/fingerprints.py", "\nSOMETHING = 1\n"),  # imported by what it imports
        ("data/judge/system.md", "More.\n"),
    ],
)
def test_changed_code_or_data_makes_a_stage_stale_and_is_named(runs, copy, file, text):
    finished(SEEDS)
    assert undone("t", SEEDS, parameters(SEEDS)) is None
    (copy / file).write_text((copy / file).read_text() + text)
    assert undone("t", SEEDS, parameters(SEEDS)) == f"stale: {file} changed"


def test_the_table_of_stages_makes_no_stage_stale(runs, copy):
    finished(SEEDS)
    table = copy / "lib/core/stages.py"
    table.write_text(table.read_text().replace("STAGES = (", 'STAGES = (\n    Stage("09_another"),', 1))
    assert undone("t", SEEDS, parameters(SEEDS)) is None


def test_data_in_the_folders_of_a_stages_folder_is_read_by_it():
    pools = {path.split("/")[2] for path in study.data_hashes(stage_of(TASKS)) if path.startswith("data/exemplars/")}
    assert pools == {"full", "terse", "system.md"}


def test_comments_docstrings_and_layout_make_nothing_stale(runs, copy):
    finished(SEEDS)
    path = copy / "lib/curate/order.py"
    path.write_text(path.read_text().replace('"""', '"""Other words. ', 1) + "\n\n# a comment\n")
    book = copy / "notebooks" / f"{SEEDS}.ipynb"
    book.write_text(book.read_text().replace("Seed curation: real functions", "Seeds: functions"))
    assert undone("t", SEEDS, parameters(SEEDS)) is None
    before = notebook_hash(SEEDS)
    book.write_text(book.read_text().replace("steps = settings.steps()", "steps = settings.steps() + []"))
    assert notebook_hash(SEEDS) != before
    assert undone("t", SEEDS, parameters(SEEDS)) == f"stale: notebooks/{SEEDS}.ipynb changed"


def test_folders_that_are_loaded_by_path_count_as_a_whole():
    """The harness runs in the box and an oracle is sent as text: no import tells."""
    reads = study.reads(only("evaluation"))
    assert {"lib/sandbox/harness.py", "lib/sandbox/cell.py", "lib/evaluate/oracles/evoeval.py"} <= reads.keys()
    assert {"lib/evaluate/benchmarks/mbpp.py", "data/claims.yaml"} <= reads.keys()
    assert not any(path.startswith(("lib/runner", "lib/curate")) for path in reads)


def test_another_runs_stage_can_be_an_input(runs):
    other = StageRun(SEEDS, parameters(SEEDS) | {"RUN": "pool"})
    child = StageRun(TASKS, parameters(TASKS))
    with pytest.raises(StudyError, match=r"not finished in run 'pool': run make 01 RUN=pool"):
        child.read(f"pool:{SEEDS}", "seeds.jsonl")
    other.write("seeds.jsonl", [{"id": "a"}])
    other.finish()
    assert child.read(f"pool:{SEEDS}", "seeds.jsonl") == [{"id": "a"}]
    child.finish()
    assert undone("t", TASKS, parameters(TASKS)) is None
    other.write("seeds.jsonl", [{"id": "b"}])
    other.finish()
    assert undone("t", TASKS, parameters(TASKS)) == f"its input pool:{SEEDS}/seeds.jsonl changed"


def test_an_altered_or_missing_file_is_not_read(runs):
    child = StageRun(TASKS, parameters(TASKS))
    with pytest.raises(StudyError, match="make 01"):
        child.read(SEEDS, "seeds.jsonl")
    stage = finished(SEEDS)
    stage.path("seeds.jsonl").write_text('{"id":"z"}\n')
    with pytest.raises(StudyError, match="not what 01_seed_curation wrote"):
        child.read(SEEDS, "seeds.jsonl")
    stage.path("seeds.jsonl").unlink()
    assert "missing or was altered" in str(undone("t", SEEDS, parameters(SEEDS)))


def test_starting_a_stage_takes_its_manifest_away(runs):
    finished(SEEDS)
    start(SEEDS, parameters(SEEDS))
    assert undone("t", SEEDS, parameters(SEEDS)) == "not finished"


def test_earlier_seconds_count_only_where_the_same_was_asked(runs):
    stage = StageRun(TASKS, parameters(TASKS))
    stage.stopwatch.earlier = 1000
    stage.finish()
    for changes, expected in (({"ENGINE": "replay"}, 1000), ({"DECKS": 3}, 0)):
        again = StageRun(TASKS, parameters(TASKS, **changes)).stopwatch
        assert again.seconds() == pytest.approx(expected, abs=60)
        again.stop()


def test_the_time_of_a_killed_stage_is_kept(runs):
    code = f"""
import time
from lib.core import stage_run
from lib.core.notebooks import parameter_defaults
stage_run.HEARTBEAT = 0.05
stage = stage_run.StageRun({SEEDS!r}, parameter_defaults({SEEDS!r}) | {{"RUN": "t"}})
stage.stopwatch.earlier = 500
print("at work", flush=True)
time.sleep(600)
"""
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None and killed.stdout.readline() == "at work\n"
    deadline = time.monotonic() + 30
    kept = run_folder("t") / SEEDS / TIME
    while not kept.exists() or json.loads(kept.read_text())["seconds"] < 500:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    stage = StageRun(SEEDS, parameters(SEEDS))
    assert stage.finish()["seconds"] >= 500


def test_nothing_leaves_the_funnel_without_a_reason(runs):
    stage = StageRun(SEEDS, parameters(SEEDS))
    stage.step("length", 10, 7, {"long": 2, "short": 1})
    stage.step("samples", 7, 28)
    with pytest.raises(ValueError, match="the reasons explain 2"):
        stage.step("words", 28, 20, {"todo": 2})


def test_unknown_names_and_wrong_types_are_refused():
    defaults = {"RUN": "laptop", "RATE": 1e-4, "SEED": 1, "ON": True, "NAMES": ["a"], "RATIOS": [0.5]}
    defaults |= {"WEIGHTS": {"a": 3, "b": 1}, "OPTIONS": {}}
    check_types("n", {"RATE": 1, "SEED": 2, "NAMES": [], "RATIOS": [1, 0.5]}, defaults)
    check_types("n", {"WEIGHTS": {"c": 0.5, "d": 0}, "OPTIONS": {"any": [1, "a", None]}}, defaults)
    for bad, message in [
        ({"RATES": 1.0}, "has no parameter RATES"),
        ({"SEED": 1.0}, "SEED must be int"),
        ({"SEED": True}, "SEED must be int"),
        ({"ON": 1}, "ON must be bool"),
        ({"RATE": "1e-4"}, "RATE must be float, not '1e-4' .str.; write a number"),
        ({"RATE": float("nan")}, "RATE must be finite, not nan; write a number"),
        ({"RATE": float("-inf")}, "RATE must be finite"),
        ({"RUN": "a\udcff"}, r"RUN holds the character '\\udcff'"),
        ({"WEIGHTS": {"a": "3"}}, r"WEIGHTS\['a'\] must be float, not '3'"),
        ({"WEIGHTS": {"a": True}}, r"WEIGHTS\['a'\] must be float"),
        ({"WEIGHTS": {"a": -1}}, r"WEIGHTS\['a'\] must not be negative"),
        ({"WEIGHTS": {"a": 0}}, "WEIGHTS needs a weight above 0"),
        ({"RATIOS": [0.5, "half"]}, r"RATIOS\[1\] must be float"),
        ({"NAMES": ["a", 1]}, r"NAMES\[1\] must be str"),
        ({"OPTIONS": {"deep": [{"x": float("inf")}]}}, r"OPTIONS\['deep'\]\[0\]\['x'\] must be finite"),
    ]:
        with pytest.raises(StudyError, match=message):
            check_types("n", bad, defaults)


@pytest.mark.parametrize("run", ["", "..", "a/b", ".hidden"])
def test_a_run_is_a_plain_folder_name(run):
    with pytest.raises(StudyError, match="not a folder name"):
        run_folder(run)


def test_durations_read_as_people_say_them():
    assert [clock(s) for s in (4, 75, 3725)] == ["4 s", "1:15 min", "1:02:05 h"]


def test_progress_tells_the_time_left_from_what_was_done_now(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lib.core.progress.time.monotonic", lambda: now[0])
    progress = Progress("work", 100, "items", done=40, every=10)
    now[0] = 5
    progress.update(41)  # no line is due
    now[0] = 20
    progress.update(50, "fine")
    now[0] = 120
    progress.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "▸ work: 40/100 items · found from before"
    assert lines[1] == "▸ work: 50/100 items · about 1:40 min left · fine"
    assert len(lines) == 3
