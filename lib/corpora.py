"""Where seed functions come from: pinned wheels of permissively licensed packages, or a local folder."""

import fnmatch
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lib.records import Record
from lib.study import ROOT, StudyError, cache_folder

PINS = ROOT / "data" / "corpora" / "packages.yaml"
PERMISSIVE = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0", "ZPL-2.1"})
TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_|conftest)")
MAX_MEMBER_BYTES = 4_000_000  # a larger archive member is cut here, which extraction then counts as too large


@dataclass(frozen=True)
class Package:
    """A pinned wheel; `include` are the path patterns of the members read from it."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    include: tuple[str, ...]


@dataclass(frozen=True)
class SourceFile:
    """One Python file and where it came from; `path` is relative to the archive or folder."""

    package: str
    version: str
    licence: str
    path: str
    data: bytes


def packages(names: str = "") -> list[Package]:
    """The pinned packages, all of them or those in a comma-separated list of names.

    Raises StudyError for a name that is not pinned and for a licence that is not permissive.
    """
    pinned = {entry["name"]: Package(include=tuple(entry.pop("include")), **entry) for entry in _pins()}
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(pinned)
    if unknown := sorted(set(wanted) - set(pinned)):
        raise StudyError(f"not in the pinned corpus: {', '.join(unknown)}; choose from {', '.join(pinned)}")
    if refused := [name for name in wanted if pinned[name].licence not in PERMISSIVE]:
        raise StudyError(f"not under a permissive licence: {', '.join(refused)}; take them out of {PINS.name}")
    return [pinned[name] for name in wanted]


def download(wanted: Sequence[Package], folder: Path | None = None) -> list[Path]:
    """Local wheels of the packages, in order; the missing ones are fetched with a single call of pip.

    Wheels only: asking pip for a source archive would run its build script. Raises StudyError when pip
    fails or when a file's hash is not the pinned one (the file is then deleted).
    """
    folder = folder or cache_folder() / "corpora"
    folder.mkdir(parents=True, exist_ok=True)
    if missing := [package for package in wanted if not (folder / package.file).exists()]:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _pip_download(missing, Path(scratch))
            for package in missing:
                verify(Path(scratch) / package.file, package.sha256).replace(folder / package.file)
    return [verify(folder / package.file, package.sha256) for package in wanted]


def verify(path: Path, sha256: str) -> Path:
    """The path itself, if its content has that hash; otherwise the file is deleted and StudyError raised."""
    if not path.exists():
        raise StudyError(f"{path.name} is not what the package index sent; correct its file name in {PINS.name}")
    seen = hashlib.sha256(path.read_bytes()).hexdigest()
    if seen != sha256:
        path.unlink()
        raise StudyError(f"{path.name} has sha256 {seen}, expected {sha256}; it was deleted, run again to fetch it")
    return path


def read_package(package: Package, wheel: Path) -> Iterator[SourceFile]:
    """The wheel's included Python files in sorted order, read from the archive: nothing is written or imported.

    Raises StudyError when the archive is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(set(archive.namelist())):
                wanted = any(fnmatch.fnmatchcase(name, pattern) for pattern in package.include)
                if wanted and not TESTS.search(name):
                    with archive.open(name) as member:
                        data = member.read(MAX_MEMBER_BYTES)
                    yield SourceFile(package.name, package.version, package.licence, name, data)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise StudyError(f"{wheel.name} is a damaged archive ({error}); delete {wheel} and run again") from error


def read_packages(wanted: Sequence[Package]) -> Iterator[SourceFile]:
    """The Python files of several packages, downloaded first where need be."""
    for package, wheel in zip(wanted, download(wanted), strict=True):
        yield from read_package(package, wheel)


def read_folder(folder: Path, licence: str) -> Iterator[SourceFile]:
    """The Python files under a local folder in sorted order; the licence is what the user states it to be.

    Links are not followed. Raises StudyError when there is no such folder, no licence or no Python file.
    """
    if not licence:
        raise StudyError("a folder of one's own needs its licence: set LICENCE to an SPDX name such as MIT")
    paths = sorted(path for path in folder.rglob("*.py") if path.is_file() and not path.is_symlink())
    if not paths:
        raise StudyError(f'no Python file under {folder}; set CORPUS to "packages" or to a folder that holds some')
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            yield SourceFile(folder.resolve().name, "local", licence, relative, file.read(MAX_MEMBER_BYTES))


def read_corpus(corpus: str, names: str = "", licence: str = "") -> Iterator[SourceFile]:
    """The files of the pinned packages (corpus "packages"), or of a local folder under the licence given."""
    return (
        read_packages(packages(names))
        if corpus == "packages"
        else read_folder(ROOT / Path(corpus).expanduser(), licence)
    )


def _pins() -> list[Record]:
    return yaml.safe_load(PINS.read_text(encoding="utf-8"))["packages"]


def _pip_download(wanted: Iterable[Package], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder)]
    command += [f"{package.name}=={package.version}" for package in wanted]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
        raise StudyError(f"pip could not fetch the corpus ({errors[-1]}); check that the package index can be reached")
