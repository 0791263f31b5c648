"""Where EvalPerf's data are found: the data set, the ladder of published results, EvalPlus's NoExtreme files.

The data set's large inputs come to hundreds of megabytes: they are kept apart, each in a file that the sandbox reads
when it is needed.
"""

import gzip
import hashlib
import json
import shutil
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lib.core import paths
from lib.core.records import Record, StudyError, replacing, write_text
from lib.evaluate.benchmarks import mbpp
from lib.evaluate.data import (
    DOWNLOAD_SECONDS,
    UNPINNED,
    Missing,
    cache_folder,
    downloaded,
    files,
    locate,
    read_pinned,
    rows_of,
)
from lib.evaluate.oracles.evalperf import pack
from lib.sandbox import by_reference

# The data set, a file of Git LFS, whose pointer has its sha256; the hub's (evalplus/evalperf) is two Parquet files.
RELEASE = (
    "https://media.githubusercontent.com/media/evalplus/evalperf_release/"
    "da9500b3ff2d5e76c2d5c0dec4b06498ed5b7dfd/evalperf-20240328.jsonl.gz"
)
VERSION = "20240328"
PINS = {"366bbf6c9b6a2787de38b7b805429a6bb44a7997d569f6f11a3dd5aa60b98235": VERSION}  # sha256 of the packed file
# sha256 of the unpacked ladder, made from the results of 34 models that EvalPlus's site publishes.
LADDERS = {
    "36e0aceb8047c39ffe7a46b63145a1730c351225671a2e0dbb22b3c1f97e124f": f"{VERSION}, ladder of published results"
}
STEMS = (f"evalperf-{VERSION}", "evalperf", "test-00000-of-00002", "evalperf_ladder")
# EvalPlus's files without extreme inputs: sha256 of the unpacked bytes.
NOEXTREME = {
    "HumanEvalPlus": ("v0.1.10", "3c5aa88735e442f327030f7097f9443ee173419e0db2a75b1c12730415398e88"),
    "MbppPlus": ("v0.2.0", "2682a29850fb17185106b2f40e72d1ebe7091b7393c576cff71b60e83c42ed33"),
}
OURS = "our own large inputs"


def noextreme(stem: str, named: Sequence[str | Path]) -> tuple[dict[str, str], dict[str, Record]]:
    """Return facts and problems of EvalPlus's file without extreme inputs, from a named folder or where it is found."""
    version, sha256 = NOEXTREME[stem]
    stems = [f"{stem}-NoExtreme-{version}", f"{stem}-NoExtreme"]
    url = f"https://github.com/evalplus/{stem.lower()}_release/releases/download/{version}/{stem}-NoExtreme.jsonl.gz"
    kept = cache_folder("evalplus") / f"{stems[0]}.jsonl"
    folder = next((folder for folder in named if next(files(Path(folder).expanduser(), stems), None)), None)
    place = locate(folder, stems, "", "evalplus", partial(downloaded, url, kept))
    return read_pinned(place, {sha256: version})


def release() -> Path:
    """Return the prepared data set, downloaded the first time; Missing when that fails or it is another."""
    wanted = next(iter(PINS))
    if (ready := prepared_folder(wanted) / "ladder.json").is_file():
        return ready
    kept = ready.with_name("download")
    remedy = f"Get {RELEASE} (260 MB), and name its path, or its folder in STUDY_BENCHMARKS"
    try:
        with urllib.request.urlopen(RELEASE, timeout=DOWNLOAD_SECONDS) as answer, replacing(kept) as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise Missing(f"EvalPerf is not scored: it is neither here nor downloadable ({error}). {remedy}") from None
    if (sha256 := packed_sha256(kept)) != wanted:
        kept.unlink()
        raise Missing(f"EvalPerf is not scored: {RELEASE} has sha256 {sha256}, expected {wanted}. {remedy}")
    packed = kept.rename(kept.with_name(f"{STEMS[0]}.jsonl.gz"))
    prepare(packed, wanted)
    packed.unlink()
    return ready


def packed_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, packed ones as they are."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepared_folder(sha256: str) -> Path:
    """Return the folder in which a data set's ladder and inputs are kept, each input in a file of its own."""
    return paths.cache_folder() / "benchmarks" / f"evalperf-{sha256[:16]}"


def lines(place: Path) -> Iterator[Record]:
    """Yield the rows of a file of the data set one by one, because inputs are large; StudyError when it is damaged."""
    if place.suffix == ".parquet":
        for part in sorted(place.parent.glob("test-*-of-*.parquet")) or [place]:
            yield from rows_of(part)
        return
    try:
        with gzip.open(place) if place.suffix == ".gz" else place.open("rb") as file:
            yield from map(json.loads, file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise StudyError(f"cannot read the benchmark {place}: {error}; give the path of an intact file") from None


def ladders_of(place: Path) -> tuple[dict[str, str], dict[str, Record]]:
    """Return (version and sha256; ladders by task) of a file: the data set, prepared or not, or the published ladder.

    A ladder has n_reference, references (from slow to fast: cluster, score, code) and, of the data set, the input.
    """
    if place.name == "ladder.json" and place.parent.parent == prepared_folder("").parent:
        facts, ladders = json.loads(place.read_text(encoding="utf-8"))
        return facts, ladders
    first = next(lines(place), {})
    if not isinstance(first, dict) or not {"clusters", "pe_input"} & first.keys():
        raise StudyError(f"{place} is neither EvalPerf's data set nor its ladder: get {RELEASE} instead")
    if "pe_input" in first:
        sha256 = packed_sha256(place)
        ready = prepared_folder(sha256) / "ladder.json"
        return ladders_of(ready if ready.is_file() else prepare(place, sha256))
    facts, rows = read_pinned(place, LADDERS)
    return {"version": f"{facts['version']}, {OURS}", "sha256": facts["sha256"]}, {
        task: {
            "n_reference": row["n_reference"],
            "references": [
                {"cluster": one["cluster"], "score": row["scores"][one["cluster"]], "code": one["solutions"][0]}
                for one in row["clusters"]
                if one["cluster"] >= 0 and one["solutions"]
            ],
        }
        for task, row in rows.items()
    }


def prepare(place: Path, sha256: str) -> Path:
    """Write a data set's ladder, and each large input in a file of its own, packed; return the ladder's path."""
    folder, ladders = prepared_folder(sha256), dict[str, Record]()
    try:
        for row in lines(place):
            task, given = row["task_id"], row["pe_input"]
            kept = folder / f"{task.replace('/', '_')}.packed"
            write_text(kept, pack(arguments(task, json.loads(given) if isinstance(given, str) else given)))
            pairs = enumerate(zip(row["scores"], row["reference"], strict=True))
            references = [{"cluster": place, "score": score, "code": code} for place, (score, code) in pairs]
            ladders[task] = {"n_reference": len(references), "references": references, "input": by_reference(kept)}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StudyError(f"{place} has a task without {error}: it is not EvalPerf's data set; get {RELEASE}") from None
    facts = {"version": PINS.get(sha256, UNPINNED), "sha256": sha256}
    write_text(folder / "ladder.json", json.dumps([facts, ladders]))
    return folder / "ladder.json"


def arguments(task: str, given: Sequence[Any]) -> Any:
    """Return the arguments of the call that the data set's `pe_input` holds, with the types that JSON lacks."""
    if task.startswith("Mbpp/"):
        return mbpp.inputs({"task_id": task, "base_input": given}, "base")[0]
    return given[0]
