"""The files of LiveCodeBench: the hub's, whose private tests stay in the file until they are run, and derived ones."""

import base64
import gzip
import hashlib
import io
import json
import os
import pickle
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lib.core import paths
from lib.core.records import Record, StudyError
from lib.evaluate.data import UNPINNED, content_sha256, downloaded, files, locate
from lib.evaluate.sources import LIVECODEBENCH, LIVECODEBENCH_V5

RELEASES = {"release_v1": LIVECODEBENCH, "release_v5": LIVECODEBENCH_V5}
SIZES = {"release_v1": 400, "release_v5": 880}  # problems, by the official README
PINS = {**LIVECODEBENCH.pins, **LIVECODEBENCH_V5.pins}
FIELDS = (
    "question_id", "question_title", "question_content", "platform", "contest_date", "starter_code", "difficulty",
    "public_test_cases", "metadata",
)  # fmt: skip
Test = tuple[str, str]  # an input and the expected output


def release_of(path: str | Path | None, version: str) -> tuple[dict[str, Record], tuple[str, str, str]]:
    """Return the problems of a release ("": the first) by id, and (what they are, sha256 of their rows, md5).

    Missing when there is none, StudyError when a file is damaged or not of the release that is asked for.
    """
    release = version or "release_v1"
    places = parts(release, path)
    rows, problems, md5 = read(places)
    sha256 = content_sha256(rows)
    sized = next((name for name, size in SIZES.items() if size == len(problems)), "")
    if version and sized != version:
        raise StudyError(f"{places[0]} has {len(problems)} problems, {version} has {SIZES[version]}: get its file")
    return problems, (PINS.get(sha256) or ", ".join(filter(None, (sized, UNPINNED))), sha256, md5)


def parts(release: str, path: str | Path | None) -> list[Path]:
    """Return the files of a release: in a folder the hub's own, one after the other, else what `locate` finds."""
    source = RELEASES[release]
    names = [Path(url).name for url in (source.url, *source.more)]
    for folder in filter(None, (path, os.environ.get(source.override))):
        hub = [Path(folder).expanduser() / name for name in names]
        if hub[0].is_file() and (lacking := next((file for file in hub if not file.is_file()), None)):
            raise StudyError(f"{folder} has no {lacking.name}, and {release} is {' + '.join(names)}: get it, too")
        if hub[0].is_file():
            return hub
    kept = paths.cache_folder() / "benchmarks" / f"{source.stems[0]}.jsonl"

    def otherwise() -> Path:
        return next(files(kept.parent, source.stems), None) or downloaded(source.url, kept, *source.more)

    return [locate(path, source.stems, source.override, "selfcodealign-study/benchmarks", otherwise)]


def read(places: Sequence[Path]) -> tuple[list[Record], dict[str, Record], str]:
    """Return the rows of files of JSON lines, their problems by id, and the md5 of all their bytes.

    Private tests stay in the file: in a row stands their hash, in a problem where they are.
    """
    rows, problems, md5 = list[Record](), dict[str, Record](), hashlib.md5(usedforsecurity=False)
    for place in places:
        for at, line in numbered(place):
            md5.update(line)
            try:
                row = json.loads(line)
                packed = row.get("private_test_cases") or ""
                sha256 = hashlib.sha256(packed.encode()).hexdigest()
                made = problem_of(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StudyError(
                    f"{place}: the line at byte {at} is no problem of LiveCodeBench: {error!r:.80}"
                ) from None
            if packed:
                row["private_test_cases"] = sha256
                made |= {"private": {"path": place, "at": at, "sha256": sha256}, "graded_on": "private"}
            rows.append(row)
            problems[made["question_id"]] = made
    if not problems:
        raise StudyError(f"{places[0]} holds no problem of LiveCodeBench: give the path of an intact file")
    return rows, problems, md5.hexdigest()


def opened(place: Path) -> IO[bytes]:
    """Open a file, unpacked when its name ends in .gz."""
    return gzip.open(place) if place.suffix == ".gz" else place.open("rb")  # type: ignore[return-value]


def numbered(place: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (where it begins, line) for every line of a file that is not blank; StudyError when it cannot be read."""
    at = 0
    try:
        with opened(place) as lines:
            for line in lines:
                if line.strip():
                    yield at, line
                at += len(line)
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"cannot read the benchmark {place}: {error}; give the path of an intact file") from None


def problem_of(row: Record) -> Record:
    """Return a problem: FIELDS, the tests that the row itself holds, and what they are; KeyError and the like."""
    made = {name: row[name] for name in FIELDS}
    for name in ("public_test_cases", "metadata"):
        if isinstance(made[name], str):
            made[name] = json.loads(made[name])
    extra = row.get("extra_test_cases") or []
    made["tests"] = pairs(extra or made.pop("public_test_cases"))
    made["method"] = made.pop("metadata").get("func_name")
    made["graded_on"] = "extra" if extra else "sample"
    return made | {name: row[name] for name in ("canonical_solution", "one_shot") if name in row}


def pairs(tests: Sequence[Mapping[str, Any]]) -> list[Test]:
    """Return (input, expected output) of tests."""
    return [(str(test["input"]), str(test["output"])) for test in tests]


class Text(pickle.Unpickler):
    """Unpickles texts only: an object could run code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuse any object."""
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def private_tests(packed: str) -> list[Test]:
    """Return the tests in the hub's text: JSON, or base64 of zlib of a pickled text of JSON.

    StudyError when it is neither.
    """
    try:
        if packed[:1] != "[":
            data = zlib.decompress(base64.b64decode(packed, validate=True))
            packed = Text(io.BytesIO(data)).load()
        return pairs(json.loads(packed))
    except Exception as error:  # of damaged data, pickle raises whatever comes of it
        raise StudyError(f"private tests of LiveCodeBench cannot be read ({error!s:.80}): get the file again") from None


def tests_of(problem: Record) -> list[Test]:
    """Return a problem's tests, the private ones from the hub's file; StudyError when it has changed."""
    spot = problem.get("private")
    if spot is None:
        return problem["tests"]
    try:
        with opened(spot["path"]) as file:
            file.seek(spot["at"])
            packed = json.loads(file.readline())["private_test_cases"]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        packed = ""
    if hashlib.sha256(packed.encode()).hexdigest() != spot["sha256"]:
        raise StudyError(f"{spot['path']} has changed since it was loaded: begin anew")
    return problem["tests"] + private_tests(packed)
