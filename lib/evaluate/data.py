"""Where a benchmark's file is found, and whether it is the expected one."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lib.core.records import Record, StudyError

DOWNLOAD_SECONDS = 20
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
    path: str | Path | None, name: str, stem: str, pins: Mapping[str, str], module: str, ready: str
) -> tuple[dict[str, str], dict[str, Record]]:
    """Return the result of `read_pinned` for one of EvalPlus's benchmarks, from a path or from where it is found.

    Its files are named `stem`-version; `module` of evalplus.data has the function `ready`, which downloads the newest.
    Missing when there is none, StudyError when the file is damaged or of an unknown version.
    """
    versions = list(pins.values())
    how_to_get = (
        f"{name} is not scored: its data is neither here nor downloadable. Get {stem}.jsonl.gz ({versions[0]} of "
        f"evalplus/{stem.lower()}_release on GitHub), and name its path, or its folder in STUDY_BENCHMARKS"
    )
    stems = [*(f"{stem}-{version}" for version in versions), stem]
    override = f"{module.upper()}_OVERRIDE_PATH"
    return read_pinned(
        locate(path, stems, override, "evalplus", lambda: through_evalplus(module, ready, how_to_get)), pins
    )


def through_evalplus(module: str, function: str, how_to_get: str) -> Path:
    """Return the file that EvalPlus downloads into its cache; Missing with `how_to_get` when that fails.

    In another process, for DOWNLOAD_SECONDS: evalplus downloads without a time limit, and would hang without a network.
    """
    ask = f"from evalplus.data.{module} import {function} as ready; print('\\n' + ready())"
    try:
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        raise Missing(how_to_get) from None
    if done.returncode:
        raise Missing(how_to_get)
    return Path(done.stdout.splitlines()[-1])
