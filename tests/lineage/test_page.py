"""The lineage page: its files, what they must not say, and a real browser on its way from score to source."""

import html
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from helpers import in_browser

from lib.core.paths import ROOT
from lib.core.records import StudyError, read_records
from lib.core.study import only
from lib.evaluate import load_benchmark
from lib.lineage.page import write_page

LAPTOP = ROOT / "data" / "reference" / "laptop"
KEPT = {example["id"]: example for example in read_records(LAPTOP / only("filtering") / "dataset.jsonl.gz")}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_page(LAPTOP, tmp_path_factory.mktemp("site") / "lineage")


def called(path: Path) -> list:
    """Return the arguments of the call that a data file is."""
    found = re.fullmatch(r"lineage\.\w+\((.*)\);\n", path.read_text(), re.DOTALL)
    assert found
    return json.loads(f"[{found[1]}]")


def copied(folder: Path, dataset: Iterable[dict] = ()) -> Path:
    """Return a copy of the recorded run, without scores; with another training set where one is given."""
    run = shutil.copytree(LAPTOP, folder / "run", ignore=shutil.ignore_patterns("04*", "05*", "06*", "*.ipynb"))
    if dataset:
        place = run / only("filtering")
        (place / "dataset.jsonl.gz").unlink()
        (place / "dataset.jsonl").write_text("".join(json.dumps(each) + "\n" for each in dataset))
    return run


def test_every_example_is_there_with_its_source_line_and_one_drawn_answer_that_passed(page) -> None:
    (index,) = called(page.parent / "data" / "index.js")
    assert [row[0] for row in index["examples"]] == sorted(KEPT)
    for file in {row[-1] for row in index["examples"]}:
        name, examples = called(page.parent / "data" / f"{file}.js")
        assert name == file
        for one in examples:
            source = KEPT[one["id"]]["source"]
            assert source["package"] in one["place"] and f"line {source['line']}" in one["place"]
            (drawn,) = (answer for answer in one["answers"] if answer["drawn"])
            blocks = re.findall(r"```python\n(.*?)\n```", KEPT[one["id"]]["response"], re.DOTALL)
            assert drawn["verdict"] == "pass" and drawn["code"] == "\n\n".join(blocks)
            assert len(one["survived"]) <= one["mutants"] <= 3
            assert all(line[0] in "+-" for change in one["survived"] for line in change.splitlines())


def test_mutants_that_survive_and_answers_that_were_left_out_for_an_example_are_shown(page) -> None:
    _, examples = called(page.parent / "data" / "0000.js")
    metrics = json.loads((LAPTOP / only("filtering") / "manifest.json").read_text())["metrics"]["strength"]["mutants"]
    assert sum(one["mutants"] for one in examples) == metrics["mutants"]
    assert sum(len(one["survived"]) for one in examples) == metrics["survived"] > 0
    alike = [(one, other) for one in examples for other in one["alike"]]
    assert alike and all(
        other["instruction"] != one["instruction"] and other["similarity"] >= 0.5 for one, other in alike
    )


def test_problems_have_ids_outcomes_and_the_nearest_example_and_no_text(page) -> None:
    (index,) = called(page.parent / "data" / "index.js")
    scores = json.loads((LAPTOP / only("evaluation") / "scores.json").read_text())
    humaneval = [row for row in index["problems"] if row["benchmark"] == "HumanEval"]
    assert [row["task"] for row in humaneval] == scores["problems"]["HumanEval"]
    solved = {row["model"]: row["pass@1"] for row in scores["scores"] if row["benchmark"] == "HumanEval"}
    for label in ("before", "after"):
        mean = sum(row[label] for row in humaneval) / len(humaneval)
        assert mean == pytest.approx(solved[label]["value"])
    ids = {row[0] for row in index["examples"]}
    assert all(row["example"] in ids and 0 < row["similarity"] < 0.5 for row in humaneval)
    everything = "".join(path.read_text() for path in page.parent.rglob("*") if path.is_file())
    for problem in load_benchmark("humaneval").problems.values():
        line = max(problem["prompt"].splitlines(), key=len).strip()
        assert json.dumps(line)[1:-1] not in everything and line not in everything
    assert len(everything.encode()) < 10_000_000


def test_a_run_without_a_training_set_is_refused_and_an_older_page_stays(page, tmp_path) -> None:
    before = page.read_text()
    with pytest.raises(StudyError, match="is missing: record"):
        write_page(tmp_path, page.parent)
    assert page.read_text() == before


def test_of_a_run_without_scores_there_is_a_page_without_problems(tmp_path) -> None:
    (index,) = called(write_page(copied(tmp_path), tmp_path / "page").parent / "data" / "index.js")
    assert index["problems"] == [] and index["examples"]


def seen(page: Path, address: str) -> str:
    """Return the text that a browser shows at an address of the page: what is hidden is left out."""
    body = re.sub(
        r'<(section|article)[^>]*\bhidden="".*?</\1>', "", in_browser(f"{page.as_uri()}#/{address}"), flags=re.DOTALL
    )
    return html.unescape(re.sub(r"<[^>]+>", "\n", body))


@pytest.mark.browser
def test_a_browser_lists_finds_and_follows(page) -> None:
    (index,) = called(page.parent / "data" / "index.js")
    listed = seen(page, "examples")
    every = len(index["examples"])
    assert f"\n{every} of {every} examples\n" in listed
    assert "Benchmark problems, and" not in listed, "only one view is shown"

    name, title, package, *_ = index["examples"][0]
    alike = [row for row in index["examples"] if row[2] == package]
    found = seen(page, f"examples?package={package}")
    assert f"\n{len(alike)} of {every} examples\n" in found and title in found
    other = next(row[1] for row in index["examples"] if row[2] != package)
    assert other in listed and other not in found
    found = seen(page, f"examples?q={name}")
    assert f"\n1 of {every} examples\n" in found and title in found and other not in found
    assert f"\n0 of {every} examples\n" in seen(page, "examples?q=no-such-word")

    near = next(row for row in index["problems"] if row["example"])
    chosen = seen(page, f"problems?benchmark={near['benchmark']}")
    assert near["task"] in chosen and "Similarity" in chosen
    example = next(one for one in called(page.parent / "data" / "0000.js")[1] if one["id"] == near["example"])
    followed = seen(page, f"example/{near['example']}")
    assert example["place"] in followed and example["instruction"].split("\n")[0] in followed
    assert "drawn for training" in followed and f"{near['benchmark']}: {near['task']}" in followed
    assert "no such example" in seen(page, "example/0")


@pytest.mark.browser
def test_what_a_model_wrote_is_text_whatever_it_says(tmp_path) -> None:
    rows = list(KEPT.values())
    hostile = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>\u2028"
    rows[0] = rows[0] | {"response": hostile, "instruction": hostile}
    page = write_page(copied(tmp_path, rows), tmp_path / "page")
    shown = in_browser(f"{page.as_uri()}#/example/{rows[0]['id']}")
    assert "onerror=" in shown and "<title>Where every training example comes from</title>" in shown


@pytest.mark.browser
def test_a_long_list_has_pages_and_several_data_files(tmp_path) -> None:
    rows = list(KEPT.values())
    many = [rows[n % len(rows)] | {"id": f"example{n:04d}"} for n in range(230)]
    page = write_page(copied(tmp_path, many), tmp_path / "page")
    assert {path.name for path in (page.parent / "data").iterdir()} == {"index.js", "0000.js", "0001.js", "0002.js"}
    last = seen(page, "examples?page=4")
    assert "\npage 5 of 5\n" in last and "\n230 of 230 examples\n" in last
    assert "example0229" in seen(page, "example/example0229")
    assert "\n1 of 230 examples\n" in seen(page, "examples?q=example0150")


def test_a_folder_of_something_else_is_not_replaced(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("mine")
    with pytest.raises(StudyError, match="holds something else than a lineage page: give another --out"):
        write_page(LAPTOP, tmp_path / "mine")
    assert (tmp_path / "mine" / "work.txt").read_text() == "mine"
