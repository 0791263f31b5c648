"""Data sets of the hub: local files with their columns, and the hub's client with a fake server."""

import json
import pickle
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import local_hub
from huggingface_hub import HfFileSystem, constants

from lib.core.records import StudyError
from lib.corpora import hub, open_corpus
from lib.corpora.hub import HubShard, hub_shards
from lib.corpora.source import SourceFile

CODE = "def f(x):\n    'Größe'\n    return x\n"
STACK = {
    "hexsha": "0" * 40,
    "max_stars_repo_path": "a/b.py",
    "max_stars_repo_name": "owner/repo",
    "max_stars_repo_head_hexsha": "1" * 40,
    "max_stars_repo_licenses": ["mit", "ECL-2.0"],
    "content": CODE,
}
SMOL = {"content": CODE, "licenses": ["Apache-2.0", "MIT"], "repository_name": "owner/repo", "path": "c.py", "size": 3}
STARCODER = {"max_stars_repo_path": "d.py", "max_stars_repo_name": "owner/repo", "id": "7", "content": CODE}
FUNCTIONS = {"content": CODE, "sha1": "2" * 40, "id": 5}
COMMIT = "3" * 40


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def read(shards: list[HubShard]) -> list[SourceFile]:
    return [file for shard in shards for file in pickle.loads(pickle.dumps(shard)).read()]


@pytest.mark.parametrize(
    ("row", "licence", "origin"),
    [
        (STACK, "", ("owner/repo", "1" * 40, "MIT", "a/b.py")),
        (SMOL, "", ("owner/repo", "", "Apache-2.0 AND MIT", "c.py")),
        (STARCODER, "mit", ("owner/repo", "", "MIT", "d.py")),
        (FUNCTIONS, "LicenseRef-Stack", ("data", "", "LicenseRef-Stack", "5")),
    ],
)
def test_a_row_becomes_a_file_with_its_origin(
    tmp_path: Path, row: dict[str, Any], licence: str, origin: tuple[str, str, str, str]
) -> None:
    expected = [SourceFile(*origin, CODE.encode())]
    assert read(hub_shards(str(write(tmp_path / "data.parquet", row)), licence)) == expected
    lines = tmp_path / "data.json"
    lines.write_text(json.dumps(row) + "\n")
    assert read(hub_shards(str(lines), licence)) == expected


@pytest.mark.parametrize("suffix", hub.FORMATS)
def test_a_local_file_of_rows_is_a_corpus_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        write(path, SMOL, SMOL | {"path": "d.py"})
    else:
        path.write_text("".join(json.dumps(SMOL | {"path": name}) + "\n" for name in ("c.py", "d.py")))
    shards = open_corpus(str(path))
    assert [(file.path, file.licence) for shard in shards for file in shard.read()] == [
        ("c.py", "Apache-2.0 AND MIT"),
        ("d.py", "Apache-2.0 AND MIT"),
    ]


def test_every_file_of_a_folder_is_a_shard_and_every_row_is_read(tmp_path: Path) -> None:
    rows = [STACK | {"max_stars_repo_path": f"{number:03d}.py"} for number in range(3 * hub.ROWS - 1)]
    write(tmp_path / "1.parquet", *rows[200:])
    write(tmp_path / "0.parquet", *rows[:200])
    shards = hub_shards(str(tmp_path), "")
    assert [shard.name for shard in shards] == ["hub-00000", "hub-00001"]
    assert [file.path for file in read(shards)] == [row["max_stars_repo_path"] for row in rows]
    assert hub_shards(str(tmp_path), "") == shards and len({shard.key for shard in shards}) == 2


def test_a_row_without_a_permissive_licence_has_a_fault_and_no_data(tmp_path: Path) -> None:
    lists = [["GPL-3.0"], [], None, ["MIT", "LGPL-2.1"], ["no-such"], [None], ["BSD-3-Clause"]]
    rows = [STACK | {"max_stars_repo_licenses": licences} for licences in lists]
    found = read(hub_shards(str(write(tmp_path / "rows.parquet", *rows)), "MIT"))
    assert [(file.fault, bool(file.data)) for file in found] == [("licence", False)] * 6 + [("", True)]


def test_rows_that_name_no_licence_need_one(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", FUNCTIONS)
    with pytest.raises(StudyError, match="LICENCE=''"):
        hub_shards(str(path), "")


def test_unknown_columns_and_damage_are_reported_before_work(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", {"text": CODE, "meta": 1})
    with pytest.raises(StudyError, match=r"rows.parquet has the columns text, meta; it needs one of: content, max_"):
        hub_shards(str(path), "MIT")
    whole = write(tmp_path / "rows.parquet", STACK).read_bytes()
    for damaged in (b"", b"PAR1", whole[:-20], whole[:100]):
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match=r"rows.parquet cannot be read"):
            hub_shards(str(path), "MIT")
    with pytest.raises(StudyError, match="there is no .*gone.parquet"):
        hub_shards(str(tmp_path / "gone.parquet"), "MIT")


def test_damage_in_the_rows_is_reported_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", *[STACK | {"content": f"{number} {CODE}"} for number in range(500)])
    shards = hub_shards(str(path), "")
    data = bytearray(path.read_bytes())
    data[100:-3000] = bytes(len(data) - 3100)
    path.write_bytes(data)
    with pytest.raises(StudyError, match=r"rows.parquet cannot be read"):
        read(shards)
    lines = tmp_path / "rows.json"
    lines.write_text(json.dumps(SMOL) + "\n" + '{"content": \n')
    with pytest.raises(StudyError, match=r"rows.json cannot be read"):
        read(hub_shards(str(lines), ""))


class FakeHub(BaseHTTPRequestHandler):
    """The few requests of the hub's interface that listing and reading a data set make, over a folder of files."""

    root: Path
    refusals = {"owner/gated": (403, "GatedRepo"), "owner/gone": (401, "RepoNotFound"), "owner/down": (500, "")}

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def entry(self, path: Path) -> dict[str, Any]:
        return {"type": "file", "path": str(path.relative_to(self.root)), "size": path.stat().st_size, "oid": path.name}

    def do_GET(self) -> None:
        path = self.path.split("?")[0].replace("%2F", "/").removeprefix("/api")
        known = re.fullmatch(r"/datasets/([^/]+/[^/]+)/?(.*)", path)
        name, rest = known.groups() if known else ("", path)
        if name in self.refusals:
            status, code = self.refusals[name]
            self.answer(status, b"{}", X_Error_Code=code)
        elif rest == f"tree/{COMMIT}/data/python":
            files = sorted((self.root / "data" / "python").iterdir(), reverse=True)
            self.answer(200, json.dumps([self.entry(file) for file in files]).encode(), Content_Type="application/json")
        elif rest.startswith("tree/"):
            self.answer(404, b"{}", X_Error_Code="EntryNotFound")
        elif rest.startswith("resolve/"):
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            data = (self.root / rest.removeprefix(f"resolve/{COMMIT}/")).read_bytes()
            span = f"bytes {first}-{last}/{len(data)}"
            self.answer(206, data[first : last + 1], Content_Range=span)
        elif rest in ("auth-check", "", f"revision/{COMMIT}", "revision/v1.2"):
            self.answer(200, json.dumps({"id": name, "sha": COMMIT}).encode(), Content_Type="application/json")
        else:
            self.answer(404, b"{}", X_Error_Code="RevisionNotFound")

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        files = [file for file in (self.root / "data" / "python").iterdir() if file.name in form]
        self.answer(200, json.dumps([self.entry(file) for file in files]).encode(), Content_Type="application/json")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with local_hub(type("Hub", (FakeHub,), {"root": tmp_path}), monkeypatch):
        HfFileSystem.clear_instance_cache()
        yield tmp_path
        HfFileSystem.clear_instance_cache()


def test_a_data_set_is_pinned_and_streamed(fake_hub: Path) -> None:
    for number in range(2):
        row = STACK | {"max_stars_repo_path": f"{number}.py"}
        write(fake_hub / "data" / "python" / f"{number}.parquet", *[row] * 150)
    (fake_hub / "data" / "python" / "infos.json").write_text("{}")
    shards = hub_shards("bigcode/the-stack-dedup@v1.2", "")
    assert [(shard.revision, shard.file) for shard in shards] == [
        (COMMIT, "data/python/0.parquet"),
        (COMMIT, "data/python/1.parquet"),
    ]
    assert [file.path for file in read(shards)] == ["0.py"] * 150 + ["1.py"] * 150
    assert [shard.key for shard in hub_shards("bigcode/the-stack-dedup", "")] == [shard.key for shard in shards]


def test_the_small_stack_is_lines_of_json(fake_hub: Path) -> None:
    (fake_hub / "data" / "python").mkdir(parents=True)
    (fake_hub / "data" / "python" / "data.json").write_text((json.dumps(SMOL) + "\n") * 3)
    assert [file.path for file in read(hub_shards("bigcode/the-stack-smol", ""))] == ["c.py"] * 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/gated", "owner/gated is gated: accept its terms at http.*/datasets/owner/gated and set HF_TOKEN"),
        ("owner/gone", "the hub shows no data set owner/gone; check the name"),
        ("owner/down", "the hub refuses owner/down .*500"),
        ("owner/name@v9", "owner/name has no revision v9"),
        ("owner/name:data/perl", "owner/name has no folder data/perl"),
        ("owner", "hub:owner is not a data set of the hub; write hub:owner/name"),
    ],
)
def test_what_the_hub_refuses_is_reported_in_one_line(fake_hub: Path, name: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as raised:
        hub_shards(name, "MIT")
    assert "\n" not in str(raised.value)


def test_a_hub_that_cannot_be_reached_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StudyError, match=r"cannot be reached for bigcode/the-stack-dedup .*local Parquet files"):
        hub_shards("bigcode/the-stack-dedup", "MIT")
