"""Curation on two Ray workers: the files of one process, also if a worker or the driver is killed; the type check."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from helpers import below, kill_nine, wait_until_gone
from test_pipeline import SETTINGS, Deadly, corpus
from test_type_check import CLEAN, FOREIGN, WRONG, seeds

from lib.core.cluster import connect
from lib.core.paths import ROOT
from lib.core.records import Journal, StudyError
from lib.curate import pipeline, type_check
from lib.curate.ray_stage import check_on_ray, curate_on_ray

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for all tests, whose workers can import the shards of this folder's tests."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "curate")]))
        connect("", 2)
    yield
    ray.shutdown()


def files(survey: pipeline.Survey) -> list[tuple[bytes, bytes]]:
    """The candidates and the counts of each shard, as they are stored."""
    return [(path.read_bytes(), path.with_suffix(".json").read_bytes()) for path in survey.paths]


def busy() -> list[int]:
    """The workers of the cluster that have a task."""
    return below(os.getpid(), "ray::Map")


def killing_one(work: Sequence[pipeline.Work], workers: int) -> Iterator[int]:
    """curate_on_ray, but a worker is killed in the middle."""
    for done in curate_on_ray(work, workers):
        if done == 1:
            while not (found := busy()):
                time.sleep(0.01)
            os.kill(found[0], signal.SIGKILL)
        yield done


def test_two_workers_write_the_files_of_one_process_and_lose_none_when_one_is_killed(tmp_path: Path) -> None:
    shards = corpus(tmp_path, shards=8, files=60)
    here = pipeline.survey(shards, SETTINGS, tmp_path / "here", 1)
    assert all(candidates for candidates, _ in files(here))
    for name, run in (("ray", curate_on_ray), ("killed", killing_one)):
        there = pipeline.survey(shards, SETTINGS, tmp_path / name, 2, run)
        assert files(there) == files(here)
        assert list(there.read(there.index())) == list(here.read(here.index()))
        assert len(list((tmp_path / name).iterdir())) == 2 * len(shards)


def test_a_shard_that_kills_every_worker_ends_the_pass_and_the_others_stay(tmp_path: Path) -> None:
    shards, folder = corpus(tmp_path, shards=2), tmp_path / "shards"
    done = pipeline.survey(shards, SETTINGS, folder, 2, curate_on_ray)
    with pytest.raises(StudyError, match="Ray gave up: .*run again$"):
        pipeline.survey([Deadly(), *shards], SETTINGS, folder, 2, curate_on_ray)
    assert len(files(done)) == 2


def test_types_are_checked_as_by_one_process_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.curate.ray_stage.BATCH", 2)
    asked = seeds(CLEAN, WRONG, FOREIGN, CLEAN, CLEAN.replace("area", "disc"))
    with Journal(tmp_path / "here.jsonl") as here, Journal(tmp_path / "there.jsonl") as there:
        expected = type_check.check(asked, here, 2)
        there.add(next(iter(here)))  # one is known from before
        assert check_on_ray(asked, there, 2) == expected
        assert sorted(map(str, there)) == sorted(map(str, here)) and len(there) == 4
        monkeypatch.setattr("lib.curate.ray_stage.connect", None)  # no cluster is needed for what is known
        assert check_on_ray(asked, there, 2) == expected


DRIVER = """
import pickle, sys
from lib.curate import pipeline
from lib.curate.ray_stage import curate_on_ray
shards, settings, folder = pickle.load(open(sys.argv[1], "rb"))
pipeline.survey(shards, settings, folder, 2, curate_on_ray)
"""


@pytest.mark.slow
def test_a_killed_driver_leaves_no_process_and_its_finished_shards(tmp_path: Path) -> None:
    shards, folder = corpus(tmp_path, shards=8, files=100), tmp_path / "killed"
    (tmp_path / "arguments").write_bytes(pickle.dumps((shards, SETTINGS, folder)))
    process = subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path / "arguments"], cwd=ROOT, text=True)
    while not list(folder.glob("*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    wait_until_gone(kill_nine(process), 120)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 0 < len(done) < len(shards), "the kill came too late to prove anything"
    resumed = pipeline.survey(shards, SETTINGS, folder, 2)
    assert files(resumed) == files(pipeline.survey(shards, SETTINGS, tmp_path / "here", 2))
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
