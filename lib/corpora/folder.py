"""The user's own Python files, a local tree or a text file that lists files, under a licence that the user states."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from lib.core.records import StudyError, content_id
from lib.corpora.source import MAX_FILE_BYTES, SourceFile

FILES_PER_SHARD = 1_000  # enough to keep a process busy for seconds, few enough to distribute and to resume by

Stamped = tuple[str, int, int]  # path relative to the root, bytes, time of last change in nanoseconds


@dataclass(frozen=True)
class FolderShard:
    """Up to FILES_PER_SHARD files of a folder, by their paths relative to it."""

    name: str
    key: str
    root: Path
    licence: str
    files: tuple[str, ...]

    def read(self) -> Iterator[SourceFile]:
        """Yield the files; one that cannot be opened, or no longer exists, has the fault "unreadable"."""
        for path in self.files:
            data, fault = b"", ""
            try:
                with (self.root / path).open("rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except OSError:
                fault = "unreadable"
            package, name = (os.fsencode(one).decode("utf-8", "replace") for one in (self.root.name, path))  # any bytes
            yield SourceFile(package, "local", self.licence, name, data, fault)


def folder_shards(path: Path, licence: str) -> list[FolderShard]:
    """Return the *.py files under a folder, or those that a text file lists one per line, sorted and cut into shards.

    Under a folder, links and hidden folders (.git, .venv: other people's code) are left out. Listed paths are
    relative to the list; empty lines and lines that begin with # are skipped. A shard's key changes with its files'
    names, sizes and times and with the licence. Raises StudyError for a missing path or listed file, for a licence
    that is not an SPDX expression, and when there is no Python file.
    """
    licence = stated_licence(licence)
    if path.is_dir():
        root, found = path.resolve(), list(_tree(path.resolve()))
    elif path.is_file():
        root, found = path.resolve().parent, list(_listed(path))
    else:
        raise StudyError(f'there is no {path}; set CORPUS to "packages", a folder, or a list of Python files')
    if not found:
        raise StudyError(f'no Python file in {path}; set CORPUS to "packages" or to a folder that holds some')
    found = sorted(set(found))
    shards: list[FolderShard] = []
    for start in range(0, len(found), FILES_PER_SHARD):
        part = found[start : start + FILES_PER_SHARD]
        key = content_id(root.name, licence, part)
        files = tuple(file for file, _, _ in part)
        shards.append(FolderShard(f"folder-{len(shards):05d}", key, root, licence, files))
    return shards


def stated_licence(licence: str) -> str:
    """Return the user's LICENCE in its canonical form; StudyError when it is empty or not an SPDX expression.

    Copyleft is allowed: the user decides about files of their own.
    """
    try:
        return canonicalize_license_expression(licence)
    except InvalidLicenseExpression as error:
        raise StudyError(
            f"LICENCE={licence!r} does not say under which licence these files come: set it to an SPDX name "
            "such as MIT, or to LicenseRef-Own for a licence that has none"
        ) from error


def _tree(root: Path) -> Iterator[Stamped]:
    closed: list[OSError] = []  # folders that cannot be listed count as files
    for folder, folders, files in os.walk(root, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from _stamped(root, (os.path.join(folder, name) for name in files if name.endswith(".py")))
    yield from ((os.path.relpath(str(error.filename), root), 0, 0) for error in closed)


def _listed(path: Path) -> Iterator[Stamped]:
    root = path.resolve().parent
    for number, line in enumerate(path.read_text("utf-8-sig", "surrogateescape").splitlines(), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            file = root / Path(name).expanduser()
            if not file.is_file():
                raise StudyError(f"{path}:{number} lists {name}, which is not a file; correct the line or delete it")
            yield from _stamped(root, [os.path.realpath(file)])


def _stamped(root: Path, paths: Iterable[str]) -> Iterator[Stamped]:
    """Path, size and time of regular files only: a link may be a loop, a pipe would never end."""
    for path in paths:
        try:
            facts = os.lstat(path)
        except OSError:  # a folder that may be listed but not entered
            yield os.path.relpath(path, root), 0, 0
        else:
            if stat.S_ISREG(facts.st_mode):
                yield os.path.relpath(path, root), facts.st_size, facts.st_mtime_ns
