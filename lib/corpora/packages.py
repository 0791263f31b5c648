"""The pinned corpus: wheels of permissively licensed packages, fetched from the package index and checked."""

import fnmatch
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from lib.core.paths import ROOT, cache_folder
from lib.core.progress import Progress
from lib.core.records import Record, StudyError, content_id
from lib.corpora import licences
from lib.corpora.source import MAX_FILE_BYTES, SourceFile

PINS = ROOT / "data" / "corpora" / "packages.yaml"
TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_|conftest)")
HEAD = 4_000  # bytes at a file's start that may hold a licence notice of its own
PER_CALL = 16  # packages fetched by one call of pip, so that progress can be shown


@dataclass(frozen=True)
class Package:
    """A pinned wheel; `include` holds the path patterns of the members that are read."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    include: tuple[str, ...]


@dataclass(frozen=True)
class PackageShard:
    """A pinned wheel on this machine, read from the archive: nothing is written, installed or imported."""

    package: Package
    wheel: Path

    @property
    def name(self) -> str:
        """The package's name."""
        return self.package.name

    @property
    def key(self) -> str:
        """Hash of the pin, which includes the file's hash and what is read from it."""
        return content_id(asdict(self.package))

    def read(self) -> Iterator[SourceFile]:
        """Yield the included Python files, sorted; one whose head states another licence has the fault "licence".

        Raises StudyError when the archive is damaged or names a path outside its folder.
        """
        package = self.package
        try:
            with zipfile.ZipFile(self.wheel) as archive:
                for name in sorted(set(archive.namelist())):
                    if name.startswith("/") or ".." in name.split("/"):
                        raise StudyError(
                            f"{self.wheel.name} names a path outside its folder ({name}); remove it from the corpus"
                        )
                    wanted = any(fnmatch.fnmatchcase(name, pattern) for pattern in package.include)
                    if wanted and not TESTS.search(name):
                        with archive.open(name) as member:
                            data = member.read(MAX_FILE_BYTES + 1)
                        # A notice at the head of a file outweighs the licence of its package.
                        fault = "licence" if licences.stated(data[:HEAD]) - {package.licence} else ""
                        yield SourceFile(package.name, package.version, package.licence, name, data, fault)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError, OSError) as error:
            advice = f"delete {self.wheel} and run again"
            raise StudyError(f"{self.wheel.name} is a damaged archive ({error}); {advice}") from error


def pinned(names: str = "") -> list[Package]:
    """The pinned packages, all of them or those in a comma-separated list of names.

    Raises StudyError for a name that is not pinned and for a licence that is not permissive.
    """
    pins = {entry["name"]: Package(include=tuple(entry.pop("include")), **entry) for entry in _pins()}
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    wanted = wanted or list(pins)
    if unknown := sorted(set(wanted) - set(pins)):
        raise StudyError(f"not in the pinned corpus: {', '.join(unknown)}; choose from {', '.join(pins)}")
    if refused := [name for name in wanted if pins[name].licence not in licences.PERMISSIVE]:
        raise StudyError(f"not under a permissive licence: {', '.join(refused)}; remove them from {PINS.name}")
    return [pins[name] for name in wanted]


def download(wanted: Sequence[Package], folder: Path | None = None) -> list[Path]:
    """Local wheels of the packages, in order; the missing ones are fetched with pip, a few at a time.

    Wheels only: asking pip for a source archive would run its build script. Raises StudyError when pip
    fails or when a file's hash is not the pinned one (the file is then deleted).
    """
    folder = folder or cache_folder() / "corpora"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in wanted if not (folder / package.file).exists()]
    if missing:
        progress = Progress("corpus", len(missing), "packages fetched")
        for start in range(0, len(missing), PER_CALL):
            batch = missing[start : start + PER_CALL]
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _pip_download(batch, Path(scratch))
                for package in batch:
                    verify(Path(scratch) / package.file, package.sha256).replace(folder / package.file)
            progress.update(start + len(batch))
        progress.close()
    return [verify(folder / package.file, package.sha256) for package in wanted]


def verify(path: Path, sha256: str) -> Path:
    """The path itself if its content has that hash; otherwise the file is deleted and StudyError is raised."""
    if not path.exists():
        raise StudyError(f"the package index sent no file {path.name}; correct its name in {PINS.name}")
    seen = hashlib.sha256(path.read_bytes()).hexdigest()
    if seen != sha256:
        path.unlink()
        raise StudyError(f"{path.name} has sha256 {seen}, expected {sha256}; it was deleted, run again to fetch it")
    return path


def package_shards(names: str = "") -> list[PackageShard]:
    """The wheels of the packages named (all pinned ones for ""), fetched if they are missing, each checked.

    Raises StudyError as `pinned` and `download` do, and for a wheel whose own licence is not the pinned one.
    """
    wanted = pinned(names)
    wheels = download(wanted)
    for package, wheel in zip(wanted, wheels, strict=True):
        licences.check(wheel, package.licence, package.include)
    return [PackageShard(package, wheel) for package, wheel in zip(wanted, wheels, strict=True)]


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
