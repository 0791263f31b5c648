"""The user's own files: which are found, which are skipped, and what errors say."""

import os
import pickle
from pathlib import Path

import pytest

from lib.core.records import StudyError
from lib.corpora import folder as corpus
from lib.corpora.folder import FolderShard, folder_shards
from lib.corpora.source import MAX_FILE_BYTES, SourceFile


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "z.py").write_bytes(b"z = 1\r\n")
    (root / "b" / "a.py").write_bytes(b"a = 1\n")
    (root / "b" / "notes.txt").write_text("not Python")
    return root


def read(shards: list[FolderShard]) -> list[SourceFile]:
    return [file for shard in shards for file in pickle.loads(pickle.dumps(shard)).read()]


def test_a_tree_is_read_in_order_under_the_stated_licence(tree: Path) -> None:
    assert read(folder_shards(tree, "mit")) == [
        SourceFile("tree", "local", "MIT", "b/a.py", b"a = 1\n"),
        SourceFile("tree", "local", "MIT", "z.py", b"z = 1\r\n"),
    ]


def test_links_pipes_and_hidden_folders_are_skipped(tree: Path) -> None:
    (tree / "b" / "loop").symlink_to(tree)
    (tree / "self.py").symlink_to(tree / "self.py")
    (tree / "twice.py").symlink_to(tree / "z.py")
    os.mkfifo(tree / "pipe.py")
    (tree / "folder.py").mkdir()
    (tree / ".venv").mkdir()
    (tree / ".venv" / "other.py").write_text("x = 1")
    assert [file.path for file in read(folder_shards(tree, "MIT"))] == ["b/a.py", "z.py"]


def test_a_deleted_file_has_a_fault_and_the_rest_is_read(tree: Path) -> None:
    shards = folder_shards(tree, "MIT")
    (tree / "b" / "a.py").unlink()
    assert [(file.path, file.data, file.fault) for file in read(shards)] == [
        ("b/a.py", b"", "unreadable"),
        ("z.py", b"z = 1\r\n", ""),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_closed_files_and_folders_have_a_fault(tree: Path) -> None:
    (tree / "z.py").chmod(0)
    (tree / "b").chmod(0)
    faults = [(file.path, file.fault) for file in read(folder_shards(tree, "MIT"))]
    (tree / "b").chmod(0o700)
    assert faults == [("b", "unreadable"), ("z.py", "unreadable")]


def test_a_name_of_any_bytes_and_a_large_file_are_read(tree: Path) -> None:
    with open(os.fsencode(tree) + b"/\xff.py", "wb") as file:
        file.write(b"#" * (MAX_FILE_BYTES + 10))
    (found,) = [file for file in read(folder_shards(tree, "MIT")) if "\ufffd" in file.path]
    assert len(found.data) == MAX_FILE_BYTES + 1 and not found.fault


def test_shards_are_cut_by_number_and_their_keys_follow_their_files(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "FILES_PER_SHARD", 1)
    before = folder_shards(tree, "MIT")
    assert [shard.name for shard in before] == ["folder-00000", "folder-00001"]
    assert folder_shards(tree, "MIT") == before
    (tree / "z.py").write_text("z = 22\n")
    after = folder_shards(tree, "MIT")
    assert before[0].key == after[0].key and before[1].key != after[1].key
    assert not {shard.key for shard in after} & {shard.key for shard in folder_shards(tree, "ISC")}


def test_a_list_names_the_files(tree: Path) -> None:
    names = tree / "files.txt"
    names.write_text(f"# mine\n\nz.py\n{tree / 'b' / 'a.py'}\nz.py\n")
    assert [file.path for file in read(folder_shards(names, "MIT"))] == ["b/a.py", "z.py"]
    names.write_text("z.py\ngone.py\n")
    with pytest.raises(StudyError, match=r"files.txt:2 lists gone.py"):
        folder_shards(names, "MIT")


def test_a_byte_order_mark_before_a_list_is_not_part_of_a_name(tree: Path) -> None:
    names = tree / "files.txt"
    names.write_text("z.py\r\n", "utf-8-sig", newline="")
    assert [file.path for file in read(folder_shards(names, "MIT"))] == ["z.py"]


@pytest.mark.parametrize("licence", ["", "own", "MIT AND"])
def test_a_licence_must_be_stated(tree: Path, licence: str) -> None:
    with pytest.raises(StudyError, match=r"LICENCE=.*such as MIT"):
        folder_shards(tree, licence)


def test_any_licence_may_be_stated(tree: Path) -> None:
    assert folder_shards(tree, "gpl-3.0-only or LicenseRef-Own")[0].licence == "GPL-3.0-only OR LicenseRef-Own"


def test_a_folder_without_python_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no .*missing"):
        folder_shards(tmp_path / "missing", "MIT")
    with pytest.raises(StudyError, match="no Python file"):
        folder_shards(tmp_path, "MIT")
