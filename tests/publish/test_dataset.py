"""The published training set: read back by datasets and mlcroissant, written whole, the same bytes every time."""

import json
import resource
from functools import partial
from pathlib import Path

import datasets
import jinja2
import mlcroissant
import pytest
import yaml
from huggingface_hub import DatasetCard

from lib.core.models import Model
from lib.core.paths import ROOT
from lib.core.record_types import Example, Source
from lib.core.records import StudyError, file_sha256, read_records
from lib.publish.croissant import citation, licence_url
from lib.publish.data_card import CURATION, FILTERING, SYNTHESIS, size_category
from lib.publish.dataset import COLUMNS, FILES, write_dataset
from lib.publish.provenance import hub_licences, provenance

RUN = ROOT / "data/reference/laptop"
STAGES = (CURATION, SYNTHESIS, FILTERING)
EXAMPLES = read_records(RUN / "03_execution_filtering/dataset.jsonl.gz")
UPSTREAM = {stage: json.loads((RUN / stage / "manifest.json").read_text()) for stage in STAGES}
HELD_OUT = {example["id"] for example in EXAMPLES[::20]}
MODEL = Model("tiny", Path(), EXAMPLES[0]["model"], "Apache-2.0", "0" * 64, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference run's training set, published."""
    folder = tmp_path_factory.mktemp("published") / "dataset"
    write_dataset(folder, EXAMPLES, HELD_OUT, MODEL, UPSTREAM)
    return folder


def record_of(row: dict) -> dict:
    """Return the record that a row was made from."""
    source = {name: row[f"source_{name}"] for name in Source.__annotations__}
    return {name: row[name] for name in row if not name.startswith("source_")} | {"source": source}


def test_every_part_of_an_example_has_a_described_column() -> None:
    parts = Example.__annotations__.keys() - {"source"} | {f"source_{name}" for name in Source.__annotations__}
    assert COLUMNS.keys() == parts and all(column.description.endswith((".", ")")) for column in COLUMNS.values())


def test_the_columns_that_name_records_say_whose_id_they_hold() -> None:
    """Each holds ids of one kind of record, and its description says which, in the card's words."""
    files = {"function": f"{CURATION}/seeds", "instruction": f"{SYNTHESIS}/instructions"}
    files |= {"answer": f"{SYNTHESIS}/responses"}
    ids = {kind: {row["id"] for row in read_records(RUN / f"{file}.jsonl.gz")} for kind, file in files.items()}
    for column in ("seed", "parent"):
        held = {example[column] for example in EXAMPLES}
        assert [k for k in ids if held <= ids[k]] == [k for k in ids if k in COLUMNS[column].description], column


def test_datasets_reads_the_splits_offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.chdir(folder.parent)
    scope: dict = {}
    exec((folder / "README.md").read_text().split("```python\n")[1].split("```")[0], scope)  # the card's own code
    data = scope["data"]
    assert set(data) == set(FILES) and {row["id"] for row in data["held_out"]} == HELD_OUT
    rows = [record_of(row) for split in data.values() for row in split]
    assert sorted(rows, key=lambda row: row["id"]) == EXAMPLES


def test_mlcroissant_reads_the_same_records_without_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = data.metadata.ctx.issues
    assert not issues.errors and not issues.warnings and not caplog.records
    assert data.metadata.ctx.is_v1_1() and [r.id for r in data.metadata.record_sets] == list(FILES)
    assert [f.is_array for f in data.metadata.record_sets[0].fields if f.name == "exemplars"] == [True]
    rows = []
    for split in FILES:
        for record in data.records(split):
            named = {name.removeprefix(f"{split}/"): value for name, value in record.items()}
            texts = {name: value.decode() for name, value in named.items() if isinstance(value, bytes)}
            rows.append(record_of(named | texts | {"exemplars": [text.decode() for text in named["exemplars"]]}))
    assert sorted(rows, key=lambda row: row["id"]) == EXAMPLES
    for file in data.metadata.file_objects:
        assert file.sha256 == file_sha256(folder / file.content_url)


def test_the_metadata_name_every_seed_package_and_the_paper(folder: Path) -> None:
    metadata = json.loads((folder / "croissant.json").read_text())
    card = (folder / "README.md").read_text()
    assert (
        metadata["@context"]["prov"] == "http://www.w3.org/ns/prov#" and metadata["@context"]["isArray"] == "cr:isArray"
    )
    labels = {entity["prov:label"]: entity["license"] for entity in metadata["prov:wasDerivedFrom"]}
    for source in (example["source"] for example in EXAMPLES):
        url = licence_url(source["licence"])
        assert labels[f"{source['package']} {source['version']}"] == url and url in metadata["license"]
        assert f"| {source['package']} | {source['version']} | {source['licence']} |" in card
    assert EXAMPLES[0]["model"] in metadata["prov:wasAttributedTo"]["prov:label"]
    assert "2410.24198" in metadata["citeAs"] and citation()[1] in card
    assert len(yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]["authors"]) == 1 + metadata[
        "citeAs"
    ].count(" and ")


def test_the_card_has_a_header_for_the_hub_and_the_numbers_of_the_run(folder: Path) -> None:
    card = DatasetCard((folder / "README.md").read_text())
    expected = sorted({name for e in EXAMPLES for name in hub_licences(e["source"]["licence"])})
    assert card.data.license == expected and card.data.size_categories == [size_category(len(EXAMPLES))]
    splits = card.data.to_dict()["configs"][0]["data_files"]
    assert {row["split"]: row["path"] for row in splits} == FILES
    for row in UPSTREAM[STAGES[2]]["funnel"]:
        assert f"| {row['step']} | {row['in']:,} | {row['out']:,} |" in card.text
    facts = [
        f"| train | {len(EXAMPLES) - len(HELD_OUT)} |",
        f"| held_out | {len(HELD_OUT)} |",
        "| its licence | Apache",
    ]
    facts += [file_sha256(folder / file) for file in (*FILES.values(), "croissant.json")]
    facts.append(UPSTREAM[STAGES[2]]["outputs"]["dataset.jsonl"]["sha256"])
    assert all(fact in card.text for fact in facts)


def test_the_card_claims_no_passed_tests_and_no_licence_that_it_cannot_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name in the template without a value would be rendered as nothing; here it is an error.
    monkeypatch.setattr(jinja2, "Template", partial(jinja2.Template, undefined=jinja2.StrictUndefined))
    last = UPSTREAM[STAGES[2]]
    parameters = last["parameters"] | {"CHOICE": "failing"}
    failing = UPSTREAM | {STAGES[2]: last | {"parameters": parameters, "funnel": []}}
    other = Model("other", Path(), "another revision", "Apache-2.0", "0" * 64, "")
    write_dataset(tmp_path / "dataset", EXAMPLES, HELD_OUT, other, failing)
    for file in ("README.md", "croissant.json"):
        text = (tmp_path / "dataset" / file).read_text()
        assert "that did not pass its own tests" in text and "that passed its own tests" not in text
    assert "| its licence | see the model's own card |" in (tmp_path / "dataset/README.md").read_text()


def test_the_card_names_the_model_that_wrote_the_tasks_and_the_teacher_that_answered_them(tmp_path: Path) -> None:
    second = UPSTREAM[STAGES[1]]
    taught = second | {"metrics": second["metrics"] | {"teacher": {"name": "the-teacher", "revision": "r"}}}
    write_dataset(tmp_path / "dataset", EXAMPLES, HELD_OUT, MODEL, UPSTREAM | {STAGES[1]: taught})
    author = second["metrics"]["model"]["name"]
    card, croissant = ((tmp_path / "dataset" / file).read_text() for file in ("README.md", "croissant.json"))
    assert f"| model that wrote the tasks | {author} |" in card
    assert "| model that answered them | the-teacher |" in card
    for text in (card, croissant):
        assert f"written by the-teacher; the tasks are by {author}" in text and "Self-aligned" not in text


@pytest.mark.parametrize("options", [{}, {"decontaminate": False}])
def test_the_card_says_whether_benchmarks_were_compared_by_the_parameters_alone(options: dict, tmp_path: Path) -> None:
    """The names of the funnel's steps are for readers and may change."""
    last = UPSTREAM[STAGES[2]]
    parameters = last["parameters"] | {"SELECTION_OPTIONS": options}
    funnel = [step | {"step": f"step {n}"} for n, step in enumerate(last["funnel"])]
    upstream = UPSTREAM | {STAGES[2]: last | {"parameters": parameters, "funnel": funnel}}
    write_dataset(tmp_path / "dataset", EXAMPLES, HELD_OUT, MODEL, upstream)
    card = (tmp_path / "dataset/README.md").read_text()
    said = ["Repeats of benchmark problems were removed" in card, "not compared with benchmark problems" in card]
    assert said == [not options, bool(options)]


def test_equal_input_gives_equal_bytes_and_replaces_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "dataset"
    for leftover in (again, tmp_path / "dataset.partial"):
        leftover.mkdir()
        (leftover / "old.txt").write_text("of an earlier or killed writing")
    hashes = write_dataset(again, EXAMPLES[::-1], HELD_OUT, MODEL, UPSTREAM)
    assert hashes == {f"dataset/{file}": file_sha256(folder / file) for file in (*FILES.values(), *LATER)}
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    assert {str(path.relative_to(again)) for path in again.rglob("*.*")} == {*FILES.values(), *LATER}


LATER = ("croissant.json", "README.md")


def test_a_full_disk_leaves_the_old_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/old.txt").write_text("whole")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(StudyError, match="free some space"):
            write_dataset(tmp_path / "dataset", EXAMPLES, HELD_OUT, MODEL, UPSTREAM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["old.txt"]


@pytest.mark.parametrize("licence", ["", None])
def test_an_example_without_a_licence_is_refused(tmp_path: Path, licence: str | None) -> None:
    first = EXAMPLES[0] | {"source": EXAMPLES[0]["source"] | {"licence": licence}}
    with pytest.raises(StudyError, match=f"{EXAMPLES[0]['id']} names no licence"):
        write_dataset(tmp_path / "dataset", [first, *EXAMPLES[1:]], HELD_OUT, MODEL, UPSTREAM)
    assert not list(tmp_path.iterdir())


def test_held_out_ids_of_other_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="nobody is held out but is not an example"):
        write_dataset(tmp_path / "dataset", EXAMPLES, {"nobody"}, MODEL, UPSTREAM)


def test_licences_have_the_names_of_the_hub_and_of_spdx() -> None:
    assert hub_licences("Apache-2.0 OR MIT") == ["apache-2.0", "mit"] == hub_licences("(MIT AND Apache-2.0)")
    assert hub_licences("PSF-2.0") == ["other"] and hub_licences("bsd-3-clause") == ["bsd-3-clause"]
    assert hub_licences("Gemma terms of use") == ["gemma"] and hub_licences("not stated") == ["unknown"]
    assert licence_url("mit") == "https://spdx.org/licenses/MIT.html"
    assert licence_url("MIT OR ISC") == "MIT OR ISC" and licence_url("ours alone") == "ours alone"


@pytest.mark.parametrize("border", range(3, 13))
def test_sizes_have_the_hub_s_names_on_both_sides_of_each_border(border: int) -> None:
    names = json.loads((Path(datasets.__file__).parent / "utils/resources/size_categories.json").read_text())
    assert [size_category(n) for n in (10**border - 1, 10**border)] == names[border - 2 :][:2]
    assert size_category(1) == "n<1K" and size_category(10**15) == "n>1T"


def test_long_tables_are_cut() -> None:
    sources = [{"source": {"package": f"p{n:03d}", "version": "1", "licence": "MIT"}} for n in [*range(205), 204]]
    rows = provenance(sources).splitlines()
    assert len(rows) == 2 + 200 + 1 and rows[-1] == "| 5 more |  |  | 5 |" and "| p204 | 1 | MIT | 2 |" in rows
