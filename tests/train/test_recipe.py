"""A recorded training can be read without its model and without the packages that trained it."""

import gzip
import json
from pathlib import Path

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.train.recipe import recorded

REFERENCE = ROOT / "data/reference/laptop/04_sft"
METRICS = json.loads((REFERENCE / "manifest.json").read_text())["metrics"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reference's training as a run has it, with its log alone."""
    (tmp_path / "log.jsonl").write_bytes(gzip.decompress((REFERENCE / "log.jsonl.gz").read_bytes()))
    return tmp_path


def test_the_reference_s_training_can_be_read() -> None:
    training = recorded(REFERENCE)
    assert training.reused and training.log == read_records(REFERENCE / "log.jsonl.gz")
    assert training.facts["seconds"] == METRICS["train_seconds"] and training.facts["joules"] == METRICS["joules"]


def test_a_log_alone_has_time_energy_and_two_losses(folder: Path) -> None:
    training = recorded(folder)
    assert training.facts == {"seconds": METRICS["train_seconds"], "joules": METRICS["joules"]}
    assert training.held_out_losses() == {when: METRICS[f"held_out_loss_{when}"] for when in ("before", "after")}


def test_facts_are_read_if_they_are_there(folder: Path) -> None:
    (folder / "model").mkdir()
    facts = {"eos": "<|end|>", "held-out loss as saved": 1.5, "fingerprint": "f"}
    (folder / "model/training.json").write_text(json.dumps(facts | {"log": []}))
    training = recorded(folder)
    assert training.facts == facts and training.log == recorded(REFERENCE).log
    assert training.held_out_losses()["as saved"] == 1.5


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no log.jsonl or log.jsonl.gz: choose a run that has finished notebook 04"):
        recorded(tmp_path)
