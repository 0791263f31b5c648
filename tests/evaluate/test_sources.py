"""Where the problems of the benchmarks beyond functions are found, and that others are refused."""

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.evaluate import data, sources
from lib.evaluate.data import Missing, Source, content_sha256, problems_of

SHARED = ROOT.parent / "shared/benchmarks"
ROWS = [{"meta": {"n": 1}, "text": "é", "more": [1.5, None]}, {"meta": {"n": 2}, "text": "b", "more": []}]
URL = "https://example.invalid/own.jsonl.gz"
OWN = Source(
    "Own", ("own", "old"), URL, "OWN_PATH", ("meta", "n"), ("meta", "text", "more"), {content_sha256(ROWS): "v1"}
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of this machine's, no network."""
    for variable in ("STUDY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    for variable in ("STUDY_BENCHMARKS", "OWN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("source", "count", "version"),
    [
        (sources.CLASSEVAL, 100, "eaeac44"),
        (sources.DS1000, 1000, "simplified"),
        (sources.CANITEDIT, 105, "105 programs"),
        (sources.LIVECODEBENCH, 400, "release_v1, derived tests"),
        (sources.LIVECODEBENCH_V5, 880, "release_v5, derived tests"),
    ],
    ids=lambda value: value.stems[0] if isinstance(value, Source) else "",
)
def test_the_copies_for_tests_are_the_pinned_ones(source: Source, count: int, version: str) -> None:
    facts, problems = problems_of(source, SHARED)
    assert (len(problems), facts["version"]) == (count, version) and facts["sha256"] in source.pins


def test_the_format_and_the_order_of_a_file_do_not_matter(tmp_path: Path) -> None:
    """Lines of JSON, a list, Parquet, packed or not, fields in another order, one more field: the same rows."""
    turned = [dict(reversed(list({**row, "unread": 1}.items()))) for row in reversed(ROWS)]
    texts = {"own.jsonl": "\n".join(map(json.dumps, turned)), "own.json": json.dumps(turned, indent=1)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "own.parquet")
    for file in (*texts, *(f"{name}.gz" for name in texts), "own.parquet"):
        facts, problems = problems_of(OWN, tmp_path / file)
        assert facts["version"] == "v1" and problems == {"1": ROWS[0], "2": ROWS[1]}, file


def test_a_file_is_found_in_the_order_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or folder, the user's folder, the variable, the cache: each once the one before is empty."""
    text = "\n".join(map(json.dumps, ROWS))
    places = [tmp_path / "given", tmp_path / "folder", tmp_path / "named", tmp_path / "cache" / "benchmarks"]
    for place in places:
        place.mkdir(parents=True)
        (place / "old.jsonl").write_text(text)
    monkeypatch.setenv("STUDY_BENCHMARKS", str(places[1]))
    monkeypatch.setenv("OWN_PATH", str(places[2]))
    read = []
    monkeypatch.setattr(data, "rows_of", lambda path: read.append(path.parent) or ROWS)
    for place in places:
        problems_of(OWN, places[0])
        (place / "old.jsonl").unlink()
        if place == places[2]:
            monkeypatch.delenv("OWN_PATH")
    assert read == places
    with pytest.raises(Missing, match=f"Get {URL}, and name its path, or its folder in STUDY_BENCHMARKS"):
        problems_of(OWN, places[0])


def test_a_download_is_kept_and_its_parts_are_joined(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(ROWS[0])}\n".encode()))
    (tmp_path / "two.jsonl").write_text(f"{json.dumps(ROWS[1])}\n")
    first, second = ((tmp_path / name).as_uri() for name in ("one.jsonl.gz", "two.jsonl"))
    whole = Source("Own", ("own",), first, "OWN_PATH", OWN.key, OWN.fields, OWN.pins, more=(second,))
    for _ in range(2):
        assert len(problems_of(whole)[1]) == 2
        for file in tmp_path.glob("*.jsonl*"):
            file.unlink()
    kept = tmp_path / "cache" / "benchmarks" / "own.jsonl"
    assert kept.is_file()
    kept.unlink()
    with pytest.raises(Missing):
        problems_of(whole)
    assert not kept.exists(), "half a download is none"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("own.jsonl", json.dumps(ROWS[0]), "has rows of sha256 .*, expected .* \\(v1\\): get https://example"),
        ("own.jsonl", '{"meta": {}, "text": ""}', "has a task without 'n'"),
        ("own.jsonl", '{"meta": {"n": 1}}', "has a task without 'text'"),
        ("own.jsonl", '{"meta": ', "cannot read the benchmark"),
        ("own.jsonl", "[1]", "is not a file of problems"),
        ("own.jsonl", "", "is not a file of problems"),
        ("own.json", '{"a": 1}', "is not a file of problems"),
        ("own.jsonl.gz", "no archive", "cannot read the benchmark"),
        ("own.parquet", "no table", "cannot read the benchmark"),
    ],
)
def test_other_rows_and_damaged_files_are_refused_in_one_line(
    name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StudyError, match=complaint) as refused:
        problems_of(OWN, tmp_path / name)
    assert "\n" not in str(refused.value)


def test_rows_that_could_not_be_pinned_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(json.dumps(ROWS[0]))
    unpinned = Source("Own", ("own",), URL, "OWN_PATH", OWN.key, (), OWN.pins, open=True)
    facts, problems = problems_of(unpinned, tmp_path)
    assert facts["version"] == data.UNPINNED and facts["sha256"] == content_sha256(problems.values())
