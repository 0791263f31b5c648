"""Where a benchmark's file is found, and whether it is the expected one."""

import gzip
import hashlib
import json
import os
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lib.core.records import Record, StudyError, replacing

DOWNLOAD_SECONDS = 20
# The benchmarks that EvalPlus releases, and the names of their files.
EVALPLUS = {"HumanEval+": "HumanEvalPlus", "MBPP": "MbppPlus", "MBPP+": "MbppPlus"}
EVOEVAL_SETS = ("difficult", "creative", "subtle", "combine", "tool_use")
UNPINNED = "version unpinned"


class Missing(StudyError):
    """A benchmark's data are neither here nor downloadable; the message says how to get them."""


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
            for ending in (".jsonl", ".jsonl.gz"):
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


def downloaded(url: str, kept: Path) -> Path:
    """Return the path of a release's unpacked file, downloaded the first time; Missing when that fails."""
    if not kept.is_file():
        try:
            with urllib.request.urlopen(url, timeout=DOWNLOAD_SECONDS) as answer:
                data = gzip.decompress(answer.read())
        except (OSError, EOFError, zlib.error) as error:
            raise Missing(
                f"{kept.stem} is not scored: it is neither here nor downloadable ({error}). Get {url}, and name its "
                "path, or its folder in STUDY_BENCHMARKS"
            ) from None
        with replacing(kept) as file:
            file.write(data)
    return kept
