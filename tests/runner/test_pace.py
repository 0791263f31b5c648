"""What a run says of its time: the reference's, times how much slower this machine is."""

import json

import pytest

from lib.runner import pace


@pytest.fixture
def reference(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "REFERENCES", tmp_path)
    for name, seconds in (("one", 600), ("two", 1200)):
        folder = tmp_path / "laptop" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"seconds": seconds}))
    return tmp_path / "laptop"


def test_minutes_are_the_references_times_how_much_slower_this_machine_is(reference):
    assert pace.beside("laptop") is None  # recorded before there was a pace
    (reference / pace.PACE).write_text(json.dumps({"seconds": 1e9}))
    assert 0 < pace.beside("laptop") < 1e-6
    assert pace.outlook(["one", "two"], "laptop", 1.5) == 45 and pace.outlook(["one"], "laptop", None) == 10
    assert pace.outlook(["two"], "laptop", 1.0) == 20
    assert pace.outlook(["one", "three"], "laptop", 1.0) is None and pace.outlook(["one"], "other", 1.0) is None


def test_a_run_that_will_not_make_it_says_so_and_names_the_remedy():
    assert pace.in_words(36.2, 1.1).startswith("about 36 min in all, 1.1 times what it took")
    assert pace.in_words(45, 1.2).endswith("recorded") and pace.in_words(36.2, None) == "about 36 min in all"
    assert pace.in_words(61, 1.9).endswith("close other programs, or lower N_SEEDS in a profile with BASE: laptop")
