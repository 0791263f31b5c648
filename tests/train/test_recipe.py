"""What a recorded training tells without its model, and without the packages that trained it."""

import gzip
import json
from pathlib import Path

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.train.recipe import recorded

REFERENCE = ROOT / "data/reference/laptop/04_sft"


def test_the_reference_s_training_is_told_by_its_log() -> None:
    training = recorded(REFERENCE)
    metrics = json.loads((REFERENCE / "manifest.json").read_text())["metrics"]
    assert training.reused and training.log == read_records(REFERENCE / "log.jsonl.gz")
    assert training.facts == {"seconds": metrics["train_seconds"], "joules": metrics["joules"]}
    losses = {when: metrics[f"held_out_loss_{when}"] for when in ("before", "after")}
    assert training.held_out_losses() == losses, "the facts are not committed, so the saved model's loss is unknown"


def test_facts_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(gzip.decompress((REFERENCE / "log.jsonl.gz").read_bytes()))
    (tmp_path / "model").mkdir()
    facts = {"eos": "<|end|>", "held-out loss as saved": 1.5}
    (tmp_path / "model/training.json").write_text(json.dumps(facts | {"log": [], "fingerprint": "f"}))
    training = recorded(tmp_path)
    assert training.facts == facts | {"fingerprint": "f"} and training.log == recorded(REFERENCE).log
    assert training.held_out_losses()["as saved"] == 1.5


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no log.jsonl or log.jsonl.gz: choose a run that has finished notebook 04"):
        recorded(tmp_path)
