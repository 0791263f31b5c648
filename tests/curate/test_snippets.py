"""Random windows of code: their bounds, what decides the draw, which documents are skipped."""

import random

import pytest

from lib.core.records import Record
from lib.corpora.source import SourceFile
from lib.curate.extract import Unreadable
from lib.curate.snippets import WINDOW_LINES, windows

TEXT = "".join(f"\tvalue_{number} = {number}\n" for number in range(1, 251))


def source(text: str | bytes, path: str = "folder/module.py", fault: str = "") -> SourceFile:
    return SourceFile("made-up", "1.0", "MIT", path, text.encode() if isinstance(text, str) else text, fault)


def drawn(text: str, path: str = "folder/module.py", seed: int = 976) -> list[Record]:
    return list(windows(source(text, path), seed))


def test_a_window_is_5_to_30_lines_of_each_hundred() -> None:
    for number in range(200):
        found = drawn(TEXT, f"{number}.py")
        assert len(found) == 3
        for chunk, record in enumerate(found):
            lines = record["code"].split("\n")
            first = record["source"]["line"]
            assert WINDOW_LINES[0] <= len(lines) <= WINDOW_LINES[1]
            assert 100 * chunk < first and first + len(lines) - 1 <= min(100 * chunk + 100, 250)
            assert lines == [f"value_{first + k} = {first + k}" for k in range(len(lines))]  # in place, dedented


def test_a_record_is_a_seed_with_its_origin() -> None:
    record = drawn(TEXT)[0]
    assert set(record) == {"id", "code", "name", "docstring", "source"}
    assert (record["name"], record["docstring"]) == ("module", "")
    assert record["source"] | {"line": 0} == {
        "package": "made-up",
        "version": "1.0",
        "licence": "MIT",
        "path": "folder/module.py",
        "line": 0,
    }


def test_the_draw_depends_on_the_seed_and_the_file_only() -> None:
    first = drawn(TEXT)
    random.seed(1)
    drawn(TEXT, "other.py")
    assert drawn(TEXT) == first
    places = {tuple(r["source"]["line"] for r in drawn(TEXT, path, seed)) for path in ("a", "b") for seed in (1, 2)}
    assert len(places) == 4


def test_a_short_last_chunk_and_a_window_of_symbols_are_dropped() -> None:
    assert len(drawn("x = 1\n" * 104)) == 1
    assert len(drawn("x = 1\n" * 105)) == 2
    assert drawn("#####\n" * 50) == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (source("x = 1\n" * 9), "too short"),
        (source("x = 1\n" * 5001), "too long"),
        (source("#" + "x" * 80 + "\n" + ("x" * 81 + "\n") * 20), "long lines"),
        (source(b"x = '\xff'\n" * 20), "encoding"),
        (source(b"x = 1\n" * 200_000), "too large"),
        (source(b"", fault="licence"), "licence"),
    ],
)
def test_a_document_is_skipped_with_a_reason(file: SourceFile, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        list(windows(file))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_bounds_belong_to_the_range_whatever_the_line_ends(end: str) -> None:
    assert list(windows(source(("x" * 80 + end) * 10)))
    assert list(windows(source(("x" * 80 + end) * 5000)))
