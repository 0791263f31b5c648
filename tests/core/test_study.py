"""A stage's manifest is the truth about it: what it read, what it wrote, and why the rest is not there."""

import time

import pytest

from lib.core import study
from lib.core.notebooks import check_types, parameter_defaults
from lib.core.progress import clock
from lib.core.records import StudyError
from lib.core.study import NOTEBOOKS, Stage, undone


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return tmp_path


def parameters(name, **changes):
    return parameter_defaults(name) | {"RUN": "t"} | changes


def finished(name, **changes):
    stage = Stage(name, parameters(name, **changes))
    stage.write("seeds.jsonl", [{"id": "a"}])
    stage.finish()
    return stage


def test_a_stage_is_done_only_while_everything_matches(runs):
    first, second = NOTEBOOKS[:2]
    assert undone("t", first, parameters(first)) == "not run yet"
    finished(first)
    assert undone("t", first, parameters(first)) is None
    assert "SHUFFLE_SEED changed" in str(undone("t", first, parameters(first, SHUFFLE_SEED=1)))
    child = Stage(second, parameters(second))
    assert child.read(first, "seeds.jsonl") == [{"id": "a"}]
    assert undone("t", second, parameters(second)) == "not finished"
    child.finish()
    assert undone("t", second, parameters(second)) is None
    assert undone("t", second, parameters(second, ENGINE="replay")) is None  # how, not what
    parent = Stage(first, parameters(first))
    parent.write("seeds.jsonl", [{"id": "b"}])
    parent.finish()
    assert undone("t", second, parameters(second)) == f"its input {first}/seeds.jsonl changed"


def test_an_altered_or_missing_file_is_not_read(runs):
    first, second = NOTEBOOKS[:2]
    child = Stage(second, parameters(second))
    with pytest.raises(StudyError, match="make 01"):
        child.read(first, "seeds.jsonl")
    stage = finished(first)
    stage.path("seeds.jsonl").write_text('{"id":"z"}\n')
    with pytest.raises(StudyError, match="not what 01_seed_curation wrote"):
        child.read(first, "seeds.jsonl")
    stage.path("seeds.jsonl").unlink()
    assert "missing or was altered" in str(undone("t", first, parameters(first)))


def test_starting_a_stage_takes_its_manifest_away(runs):
    name = NOTEBOOKS[0]
    finished(name)
    study.start(name, parameters(name))
    assert undone("t", name, parameters(name)) == "not finished"


def test_earlier_seconds_count_only_where_the_same_was_asked(runs):
    name = NOTEBOOKS[1]
    stage = Stage(name, parameters(name))
    stage.started -= 1000
    stage.finish()
    for changes, expected in (({"ENGINE": "replay"}, 1000), ({"DECKS": 3}, 0)):
        again = Stage(name, parameters(name, **changes))
        again.resumed()
        assert again.started == pytest.approx(time.time() - expected, abs=60)


def test_nothing_leaves_the_funnel_without_a_reason(runs):
    stage = Stage(NOTEBOOKS[0], parameters(NOTEBOOKS[0]))
    stage.step("length", 10, 7, {"long": 2, "short": 1})
    stage.step("samples", 7, 28)
    with pytest.raises(ValueError, match="the reasons explain 2"):
        stage.step("words", 28, 20, {"todo": 2})


def test_unknown_names_and_wrong_types_are_refused():
    defaults = {"RUN": "laptop", "RATE": 1e-4, "SEED": 1, "ON": True}
    check_types("n", {"RATE": 1, "SEED": 2}, defaults)
    for bad, message in [
        ({"RATES": 1.0}, "has no parameter RATES"),
        ({"SEED": 1.0}, "SEED must be int"),
        ({"SEED": True}, "SEED must be int"),
        ({"ON": 1}, "ON must be bool"),
        ({"RATE": "1e-4"}, "RATE must be float"),
    ]:
        with pytest.raises(StudyError, match=message):
            check_types("n", bad, defaults)


@pytest.mark.parametrize("run", ["", "..", "a/b", ".hidden"])
def test_a_run_is_a_plain_folder_name(run):
    with pytest.raises(StudyError, match="not a folder name"):
        study.run_folder(run)


def test_durations_read_as_people_say_them():
    assert [clock(s) for s in (4, 75, 3725)] == ["4 s", "1:15 min", "1:02:05 h"]


def test_progress_tells_the_time_left_from_what_was_done_now(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lib.core.study.time.monotonic", lambda: now[0])
    progress = study.Progress("work", 100, "items", done=40, every=10)
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
