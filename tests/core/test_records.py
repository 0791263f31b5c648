"""Records are written whole or not at all; a journal survives a kill -9 and a torn last line."""

import codecs
import gzip
import json
import signal
import subprocess
import sys
import time

import pytest

from lib.core.records import (
    Journal,
    Lazy,
    StudyError,
    content_id,
    file_sha256,
    iter_records,
    read_records,
    write_records,
)


def test_ids_depend_on_content_alone():
    assert content_id("a", {"x": 1, "y": 2}) == content_id("a", {"y": 2, "x": 1})
    assert content_id("a", "b") != content_id("ab")
    assert len(content_id("\ud800 lone surrogate")) == 16


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.gz"])
def test_records_come_back_sorted_and_byte_for_byte_the_same(tmp_path, name):
    rows = [{"id": "b", "text": "ä\u2028\n"}, {"id": "a", "text": ""}]
    first = write_records(tmp_path / name, rows)
    data = (tmp_path / name).read_bytes()
    assert write_records(tmp_path / name, reversed(rows)) == first
    assert (tmp_path / name).read_bytes() == data
    assert read_records(tmp_path / name) == sorted(rows, key=lambda row: row["id"])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [{"id": "a"}])
    with pytest.raises(StudyError, match="two records have the id"):
        write_records(path, [{"id": "b"}, {"id": "b"}])
    with pytest.raises(TypeError):
        write_records(path, [{"id": "b", "bad": object()}])
    assert read_records(path) == [{"id": "a"}]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_error_after_which_the_journal_goes_on(tmp_path):
    code = f"""
import json, resource, signal
from pathlib import Path
from lib.core.records import Journal, StudyError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(tmp_path / "journal.jsonl")!r}))
journal.add({{"id": "a", "text": "x" * 900}})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    journal.add({{"id": "b", "text": "y" * 900}})
except StudyError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert "b" not in journal and journal["a"]["text"] == "x" * 900
for name in "cd":
    journal.add({{"id": name, "text": name}})
print(json.dumps(list(journal)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told, records = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert "cannot write" in told and "free some space, then run again" in told
    assert [record["text"][0] for record in json.loads(records)] == ["x", "c", "d"]
    with Journal(tmp_path / "journal.jsonl") as journal:
        assert len(journal) == 3


def test_damage_is_named_with_its_line(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"id":"a"}\n{"id":\n')
    with pytest.raises(StudyError, match=r"records\.jsonl:2"):
        list(iter_records(path))
    with pytest.raises(StudyError, match="missing"):
        list(iter_records(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.gz"])
def test_a_byte_order_mark_is_no_part_of_a_record(tmp_path, name):
    """As Windows begins a file of UTF-8, and a file that was put together from such ones has it on any line."""
    line = codecs.BOM_UTF8 + '{"id":"ä"}\r\n'.encode()
    (tmp_path / name).write_bytes(gzip.compress(line * 2) if name.endswith(".gz") else line * 2)
    assert read_records(tmp_path / name) == [{"id": "ä"}] * 2


def test_a_journal_cuts_a_torn_last_line_and_goes_on(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"id":"a","n":1}\n{"id":"b","n"')
    with Journal(path) as journal:
        assert len(journal) == 1 and "b" not in journal
        journal.add({"id": "b", "n": 2})
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_journal_torn_right_before_its_newline_loses_nothing_else(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"id":"a"}\n{"id":"b"}')
    with Journal(path) as journal:
        assert list(journal) == [{"id": "a"}]


def test_damage_in_the_middle_of_a_journal_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"id":"a"}\nnonsense\n{"id":"b"}\n')
    with pytest.raises(StudyError, match=r"journal\.jsonl:2 is damaged"):
        Journal(path)


def test_two_processes_cannot_hold_one_journal(tmp_path):
    with Journal(tmp_path / "journal.jsonl"), pytest.raises(StudyError, match="in use"):
        Journal(tmp_path / "journal.jsonl")


def test_kill_nine_keeps_every_added_record(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = f"""
from pathlib import Path
from lib.core.records import Journal
journal = Journal(Path({str(path)!r}))
for n in range(10**9):
    journal.add({{"id": str(n), "text": "x" * 1000}})
    print(n, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    time.sleep(0.7)
    writer.send_signal(signal.SIGKILL)
    said = [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    with Journal(path) as journal:
        assert said and all(str(n) in journal for n in said)


def test_a_journal_reads_back_what_it_stored_and_holds_only_places(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        for number in range(200):
            journal.add({"id": str(number), "text": "é" * 10_000})
            assert journal[str(number // 2)]["id"] == str(number // 2)  # reading in between leaves the end alone
        assert len(journal.path.read_bytes().splitlines()) == 200
        assert [record["id"] for record in journal] == [str(number) for number in range(200)]
        assert "é" not in repr(vars(journal))


def test_lazy_records_are_made_when_asked_for_and_written_in_order(tmp_path):
    made = []
    lazy = Lazy(["a", "b", "c"], lambda key: made.append(key) or {"id": key})
    assert len(lazy) == 3 and not made
    assert [record["id"] for record in lazy[1:]] == ["b", "c"] and lazy[-1] == {"id": "c"}
    one = write_records(tmp_path / "lazy.jsonl", lazy)
    other = write_records(tmp_path / "list.jsonl.gz", list(lazy)[::-1])
    assert one == other == file_sha256(tmp_path / "list.jsonl.gz") == file_sha256(tmp_path / "lazy.jsonl")
    with pytest.raises(ValueError, match="a comes after b"):
        write_records(tmp_path / "lazy.jsonl", Lazy(["b", "a"], lambda key: {"id": key}))
    assert file_sha256(tmp_path / "lazy.jsonl") == one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lazy.jsonl", "list.jsonl.gz"]
