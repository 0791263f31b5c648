"""Examples of the recorded run followed home; what is missing is named."""

import json
import shutil

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.lineage.follow import Followed, size

LAPTOP = ROOT / "data" / "reference" / "laptop"
FOLLOWED = Followed(LAPTOP)


def test_every_example_has_a_task_answers_concepts_and_a_source_line() -> None:
    for name, example in FOLLOWED.by_name["dataset"].items():
        lineage = FOLLOWED.lineage(name)
        assert lineage.example is example
        # Notebook 03 puts some of the tests below the tasks of a part of the examples.
        assert example["instruction"].startswith(lineage.task["instruction"].strip())
        chosen = [(answer, seen) for answer, seen in lineage.answers if answer["id"] == example["parent"]]
        ((answer, seen),) = chosen
        assert seen and seen["verdict"] == "pass" and example["response"].strip() in answer["text"]
        assert lineage.concepts and lineage.concepts["seed"] == lineage.seed["id"] == example["seed"]
        assert lineage.seed["source"] == example["source"] and str(example["source"]["line"]) in lineage.place
        assert [answer["sample"] for answer, _ in lineage.answers] == sorted(a["sample"] for a, _ in lineage.answers)


def test_the_telling_example_has_the_most_kinds_of_verdicts_and_is_short() -> None:
    chosen = FOLLOWED.lineage(FOLLOWED.telling())
    every = [FOLLOWED.lineage(name) for name in FOLLOWED.by_name["dataset"]]
    most = max(len(set(one.verdicts)) for one in every)
    assert len(set(chosen.verdicts)) == most > 1 and "pass" in chosen.verdicts
    alike = [one for one in every if (len(set(one.verdicts)), len(one.answers)) == (most, len(chosen.answers))]
    assert size(chosen) == min(map(size, alike))


def test_a_run_without_concepts_is_followed_too(tmp_path) -> None:
    run = shutil.copytree(LAPTOP, tmp_path / "run", ignore=shutil.ignore_patterns("04*", "05*", "06*", "*.ipynb"))
    place = run / "02_self_oss_instruct"
    (place / "concepts.jsonl.gz").unlink()
    tasks = read_records(place / "instructions.jsonl.gz")
    lines = [json.dumps(task | {"parent": task["seed"]}) for task in tasks]
    (place / "instructions.jsonl.gz").unlink()
    (place / "instructions.jsonl").write_text("\n".join(lines) + "\n")  # plain, as a run has it
    followed = Followed(run)
    lineage = followed.lineage(followed.telling())
    assert lineage.concepts is None and lineage.seed["code"]


def test_what_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(StudyError, match="has no training example 'x'; leave it empty"):
        FOLLOWED.lineage("x")
    with pytest.raises(StudyError, match="seeds.jsonl is missing: record"):
        Followed(tmp_path).lineage("x")
