"""Rows of data sets: licences and texts in columns of every type, and bytes that are no text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.core.records import StudyError
from lib.corpora import open_corpus
from lib.corpora.rows import file_bytes, permitted
from lib.corpora.source import MAX_FILE_BYTES, SourceFile
from lib.curate.extract import Unreadable, decode, functions

CODE = "def f(x):\n    'Größe'\n    return x\n"
ROW = {"content": CODE, "repository_name": "owner/repo", "path": "c.py", "licenses": "MIT"}
FILE = SourceFile("owner/repo", "", "MIT", "c.py", CODE.encode())
TEXTS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.binary()),
]  # fmt: skip


def read(path: Path) -> list[SourceFile]:
    return [file for shard in open_corpus(str(path)) for file in shard.read()]


def parquet(target: Path, /, **columns: Any) -> Path:
    """Write rows that are ROW but for some columns, each given as an Arrow array of the same length."""
    length = len(next(iter(columns.values())))
    pq.write_table(pa.table({name: [value] * length for name, value in ROW.items()} | columns), target)
    return target


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_columns_may_have_any_type_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    binary = pa.types.is_binary(getattr(kind, "value_type", kind)) or pa.types.is_large_binary(kind)
    values = {name: [value.encode() if binary else value] * 2 for name, value in ROW.items()}
    columns = {name: pa.array(value, kind) for name, value in values.items()}
    assert read(parquet(tmp_path / "rows.parquet", **columns)) == [FILE, FILE]


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (pa.array([["mit", None], ["GPL-3.0", "MIT"], [], None]), ["MIT", "", "", ""]),
        (pa.array([[b"MIT"], [b"no-such"]], pa.large_list(pa.binary())), ["MIT", ""]),
        (pa.array([["MIT"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), ["MIT"]),
        (pa.array([{"key": "mit", "name": "MIT License"}, {"key": "gpl-3.0", "name": None}, None]), ["MIT", "", ""]),
        (pa.array([[{"id": "ISC", "score": 0.9}, {"id": "MIT", "score": 0.5}]]), ["ISC AND MIT"]),
        (pa.array([None, None], pa.string()), ["", ""]),
        (pa.array([3.5]), [""]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_licences_may_be_lists_and_objects_of_any_type(tmp_path: Path, licences: pa.Array, expected: list[str]) -> None:
    found = read(parquet(tmp_path / "rows.parquet", licenses=licences))
    assert [file.licence for file in found] == expected
    assert [(file.fault, bool(file.data)) for file in found] == [("" if e else "licence", bool(e)) for e in expected]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("MIT", "MIT"),
        (" mit ", "MIT"),
        (b"Apache-2.0", "Apache-2.0"),
        ("MIT, Apache-2.0", "Apache-2.0 AND MIT"),
        ("MIT;ISC", "ISC AND MIT"),
        ('["MIT", null]', "MIT"),
        ("['MIT', 'ISC']", "ISC AND MIT"),
        ("MIT OR ISC", "ISC AND MIT"),
        ("(MIT OR CC0-1.0) AND ISC", "CC0-1.0 AND ISC AND MIT"),
        ("MIT AND no-such", ""),
        ("no-such AND (MIT OR ISC)", ""),
        ("MIT OR no-such", "MIT"),
        ("MIT OR GPL-2.0-or-later", ""),
        ("MIT AND MPL-2.0", ""),
        ('["MIT", "LGPL-2.1"]', ""),
        (np.array(["MIT", "ISC"]), "ISC AND MIT"),
        (np.array([], object), ""),
        (("MIT", "apache-2.0", "ECL-2.0"), "Apache-2.0 AND MIT"),
        (["MIT", "MPL-2.0"], ""),
        (["CC-BY-SA-4.0", "MIT"], ""),
        ("", ""),
        ("[]", ""),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_a_licence_is_read_from_a_name_a_text_or_a_list(stated: object, expected: str) -> None:
    assert permitted(stated) == expected


def test_text_becomes_the_bytes_that_its_cookie_declares() -> None:
    assert file_bytes("# coding: latin-1\nx = 'ö'\n") == b"# coding: latin-1\nx = '\xf6'\n"
    assert file_bytes("\ufeffx = 'ö'\n") == b"\xef\xbb\xbfx = '\xc3\xb6'\n"
    assert file_bytes("# coding: no-such\nx = 'ö'\n") == "# coding: no-such\nx = 'ö'\n".encode()
    assert file_bytes("<reponame>a/b<filename>c.py<gh_stars>1-10\nx = 1\n") == b"x = 1\n"
    assert file_bytes("x < 1\n<reponame>a/b\n") == b"x < 1\n<reponame>a/b\n"
    assert len(file_bytes("x" * (MAX_FILE_BYTES + 10))) == MAX_FILE_BYTES + 1


def test_bytes_are_text_or_a_file_as_it_is() -> None:
    for text in ("# coding: latin-1\nx = 'ö'\n", "<reponame>a/b\nx = 'ö'\n", "\ufeffx = 1\n", ""):
        assert file_bytes(text.encode()) == file_bytes(text)
    raw = b"# coding: latin-1\nx = '\xf6'\n"
    assert file_bytes(raw) == raw
    assert file_bytes("x = '\ud800'\n") == b"x = '\xed\xa0\x80'\n"


BAD = b"def f(x):\n    'Gr\xf6\xdfe'\n    return x\n"


def unchecked(value: bytes) -> pa.Array:
    """Return a column of text whose second value is not UTF-8, as writers that do not check leave it."""
    return pa.array([CODE.encode(), value, CODE.encode()], pa.binary()).view(pa.string())


@pytest.mark.parametrize("content", [unchecked(BAD), unchecked(BAD).cast(pa.binary())], ids=["text", "bytes"])
def test_a_row_that_is_not_utf8_is_counted_alone(tmp_path: Path, content: pa.Array) -> None:
    good, bad, too = read(parquet(tmp_path / "rows.parquet", content=content))
    assert good == too == FILE and bad.data == BAD
    assert [function.docstring for function in functions(good)] == ["Größe"]
    with pytest.raises(Unreadable, match="encoding"):
        decode(bad)
    with_cookie = read(parquet(tmp_path / "rows.parquet", content=unchecked(b"# coding: latin-1\n" + BAD)))
    assert "Größe" in decode(with_cookie[1])


def test_a_line_that_is_not_utf8_is_counted_alone(tmp_path: Path) -> None:
    lines = [json.dumps(ROW, ensure_ascii=False).encode()] * 3
    lines[1] = lines[1].replace("ö".encode(), b"\xf6")
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    good, bad, too = read(tmp_path / "rows.jsonl")
    assert good == too == FILE
    with pytest.raises(Unreadable, match="encoding"):
        decode(bad)


def test_a_byte_order_mark_before_the_rows_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\r\n" + json.dumps(ROW) + "\r\n", "utf-8-sig")
    assert read(tmp_path / "rows.jsonl") == [FILE, FILE]


@pytest.mark.parametrize(
    "content", [pa.array([{"a": 1}]), pa.array([[CODE]]), pa.array([7])], ids=lambda a: str(a.type)
)
def test_content_of_another_kind_is_counted(tmp_path: Path, content: pa.Array) -> None:
    (file,) = read(parquet(tmp_path / "rows.parquet", content=content))
    assert (file.fault, file.data) == ("not text", b"")
    with pytest.raises(Unreadable, match="not text"):
        decode(file)


def test_a_row_without_content_is_an_empty_file(tmp_path: Path) -> None:
    (file,) = read(parquet(tmp_path / "rows.parquet", content=pa.array([None], pa.string())))
    assert (file.fault, file.data) == ("", b"")


def test_a_line_that_is_no_object_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n7\n")
    with pytest.raises(StudyError, match="rows.jsonl cannot be read"):
        read(tmp_path / "rows.jsonl")
