"""Where a benchmark's file is found, and whether it is the expected one."""

import gzip
import hashlib
import json
import os
import shutil
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.core import paths
from lib.core.records import Record, StudyError, replacing

DOWNLOAD_SECONDS = 20
# The benchmarks that EvalPlus releases, and the names of their files.
EVALPLUS = {"HumanEval+": "HumanEvalPlus", "MBPP": "MbppPlus", "MBPP+": "MbppPlus"}
EVOEVAL_SETS = ("difficult", "creative", "subtle", "combine", "tool_use")
UNPINNED = "version unpinned"
ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")  # of files of problems, the first that is found


class Missing(StudyError):
    """What a benchmark needs, data or packages, is neither here nor downloadable; the message says how to get it."""


def unpacked(path: Path) -> bytes:
    """Return the bytes of a file, decompressed when its name ends in .gz."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def read_pinned(path: Path, pins: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Record]]:
    """Return (version, sha256 and md5; problems by task id) of a .jsonl or .jsonl.gz file.

    `pins` maps the sha256 of the uncompressed bytes to a version; without pins any file is accepted as UNPINNED.
    StudyError for a missing, damaged or unknown file.
    """
    try:
        data = unpacked(path)
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"cannot read the benchmark {path}: {error}; give the path of an intact file") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if pins and sha256 not in pins:
        wanted = " or ".join(f"{pin} ({version})" for pin, version in pins.items())
        raise StudyError(f"{path} has sha256 {sha256}, expected {wanted}; delete it and get it again")
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        problems = {row["task_id"]: row for row in map(json.loads, data.splitlines())}
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is not a file of problems, one JSON object with task_id per line: {error}") from None
    return {"version": pins.get(sha256, UNPINNED), "sha256": sha256, "md5": md5}, problems


def locate(
    path: str | Path | None,
    stems: Sequence[str],
    override: str,
    cache: str,
    otherwise: Callable[[], Path],
    folder_only: bool = False,
) -> Path:
    """Return the path of a benchmark's file, the first of these that exists.

    `path` as given when it is a file, or in it when it is a folder; a file NAME.jsonl or NAME.jsonl.gz, NAME from
    `stems`, in the folder that STUDY_BENCHMARKS names or in one of its folders; the value of the environment variable
    `override`, a file (not with `folder_only`) or a folder of such files; such a file in the user's cache folder
    `cache`; the result of `otherwise`, which raises Missing when there is none.
    """
    if path is not None:
        given = Path(path).expanduser()
        found = next(files(given, stems), None) if given.is_dir() else given
        if found:
            return found
    if named := os.environ.get("STUDY_BENCHMARKS"):
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise StudyError(f"STUDY_BENCHMARKS is {named!r}, which is not a folder: name one, or unset it")
        if found := next(files(folder, stems), None):
            return found
    if named := os.environ.get(override):
        given = Path(named).expanduser()
        if folder_only and not given.is_dir():
            raise StudyError(f"{override} is {named!r}, which is not a folder: name one, or unset it")
        found = next(files(given, stems), None) if given.is_dir() else given
        if found is None:
            raise StudyError(f"{override} is {named!r}, where there is no {stems[0]}.jsonl: correct it, or unset it")
        return found
    return next(files(cache_folder(cache), stems), None) or otherwise()


def files(folder: Path, stems: Sequence[str]) -> Iterator[Path]:
    """The files with these names in a folder and in its folders, in the order of `stems`."""
    folders = [folder, *sorted(inner for inner in folder.iterdir() if inner.is_dir())] if folder.is_dir() else []
    for stem in stems:
        for place in folders:
            for ending in ENDINGS:
                if (file := place / f"{stem}{ending}").is_file():
                    yield file


def cache_folder(name: str) -> Path:
    """Return a user's cache folder as the package appdirs, and so EvalPlus, names it on Linux."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name


def from_evalplus(
    path: str | Path | None, name: str, pins: Mapping[str, str], wanted: str = ""
) -> tuple[dict[str, str], dict[str, Record]]:
    """Return the result of `read_pinned` for a benchmark of EVALPLUS, from a path or from where it is found.

    `wanted` is one of the versions of `pins`; "" takes any of them, the first of these that is found, and downloads the
    first. Missing when there is none, StudyError for another version and a file that is damaged or of an unknown one.
    """
    stem, versions = EVALPLUS[name], [version for version in pins.values() if wanted in ("", version)]
    url, kept = release(name, versions[0]), cache_folder("evalplus") / f"{stem}-{versions[0]}.jsonl"
    stems, override = [*(f"{stem}-{version}" for version in versions), stem], stem.removesuffix("Plus").upper()
    place = locate(path, stems, f"{override}_OVERRIDE_PATH", "evalplus", lambda: downloaded(url, kept))
    facts, problems = read_pinned(place, pins)
    if facts["version"] not in versions:
        raise StudyError(f"{place} is {name} {facts['version']}, and {wanted} is asked for: get {url} instead")
    return facts, problems


def release(name: str, version: str) -> str:
    """Return the address of the file of a benchmark of EVALPLUS, as evalplus/data/utils.py makes it."""
    stem = EVALPLUS[name]
    return f"https://github.com/evalplus/{stem.lower()}_release/releases/download/{version}/{stem}.jsonl.gz"


def downloaded(url: str, kept: Path, *more: str) -> Path:
    """Return the path of a release's unpacked file, downloaded the first time; Missing when that fails.

    `more` are the addresses of further parts of it, which are appended.
    """
    if not kept.is_file():
        with replacing(kept) as file:
            for part in (url, *more):
                copy(part, file, kept.stem)
    return kept


def copy(url: str, file: Any, name: str) -> None:
    """Write what is at an address to an open file, unpacked; Missing when it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_SECONDS) as answer:
            file.write(gzip.decompress(answer.read())) if url.endswith(".gz") else shutil.copyfileobj(answer, file)
    except (OSError, EOFError, zlib.error) as error:
        raise Missing(
            f"{name} is not scored: it is neither here nor downloadable ({error}). Get {url}, and name its "
            "path, or its folder in STUDY_BENCHMARKS"
        ) from None


# ---- benchmarks whose files differ in form from place to place, and not in what they hold


@dataclass(frozen=True)
class Source:
    """Where a benchmark's problems come from, and how to tell that they are the expected ones.

    stems   names of its file, without ending, the preferred first; each may be any of ENDINGS
    url     the hub's file, `more` those that continue it; the variable `override` in the environment names a file or
            folder, too
    key     the way to a row's id: ("metadata", "problem_id")
    fields  of a row, all that is read; () for whatever it has
    pins    `content_sha256` of the rows -> version
    open    whether other rows are accepted as UNPINNED, because the hub's could not be had to be hashed
    """

    name: str
    stems: tuple[str, ...]
    url: str
    override: str
    key: tuple[str, ...]
    fields: tuple[str, ...]
    pins: Mapping[str, str]
    open: bool = False
    more: tuple[str, ...] = ()


def content_sha256(rows: Iterable[Record]) -> str:
    """Return a hash of rows that their order, the order of their fields and the file's format do not change."""
    lines = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def rows_of(path: Path) -> list[Record]:
    """Return the rows of a file: lines of JSON, a list of JSON, or Parquet; StudyError when it holds none."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet  # late: few files are, and it is large

            return pyarrow.parquet.read_table(path).to_pylist()
        data = unpacked(path)
        rows = json.loads(data) if ".json" in path.suffixes else [*map(json.loads, data.splitlines())]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise StudyError(f"cannot read the benchmark {path}: {error}; give the path of an intact file") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise StudyError(f"{path} is not a file of problems: it should hold a JSON object for each")
    return rows


def problems_of(source: Source, path: str | Path | None = None) -> tuple[dict[str, str], dict[str, Record]]:
    """Return (version and sha256 of the rows, md5 of the file; problems by id), from a path or where `locate` finds it.

    Missing when there is none, StudyError for a damaged file and one of other rows.
    """
    kept = paths.cache_folder() / "benchmarks" / f"{source.stems[0]}{ending(source.url)}"

    def otherwise() -> Path:
        return next(files(kept.parent, source.stems), None) or downloaded(source.url, kept, *source.more)

    place = locate(path, source.stems, source.override, "selfcodealign-study/benchmarks", otherwise)
    rows = rows_of(place)
    try:
        problems = {identity(row, source.key): {name: row[name] for name in source.fields or row} for row in rows}
    except (KeyError, TypeError) as error:
        raise StudyError(f"{place} has a task without {error}: it is not a file of {source.name}") from None
    sha256 = content_sha256(problems.values())
    if sha256 not in source.pins and not source.open:
        wanted = " or ".join(f"{pin} ({version})" for pin, version in source.pins.items())
        raise StudyError(f"{place} has rows of sha256 {sha256}, expected {wanted}: get {source.url} instead")
    md5 = hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
    return {"version": source.pins.get(sha256, UNPINNED), "sha256": sha256, "md5": md5}, problems


def ending(url: str) -> str:
    """Return the ending of the file that a download is kept as: without .gz, as it is unpacked."""
    return Path(url.removesuffix(".gz")).suffix


def identity(row: Record, key: Sequence[str]) -> str:
    """Return a row's id as text; KeyError or TypeError when it has none."""
    found: Any = row
    for name in key:
        found = found[name]
    return str(found)
