"""From a corpus to seed candidates: shards streamed through the filters, one process per core, resumable by shard."""

import json
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from lib.core.code import closure_hashes
from lib.core.paths import ROOT
from lib.core.progress import Progress
from lib.core.records import Record, StudyError, canonical, content_id, file_sha256, write_text
from lib.corpora import Shard, SourceFile
from lib.curate import snippets
from lib.curate.extract import Function, Unreadable, functions, seed
from lib.curate.imports import import_header
from lib.curate.rules import Rule, rule_set
from lib.overlap.contamination import Contamination

EXAMPLES = 3  # removed functions kept per step, to be shown
DECONTAMINATED = "decontaminated"
PARSED = "parses"


@dataclass(frozen=True)
class Settings:
    """What decides which functions become candidates; `unit` is functions or snippets, `style` is study or official."""

    unit: str
    style: str
    min_body: int
    max_lines: int
    max_chars: int
    min_words: int
    snippet_seed: int

    def rules(self) -> dict[str, Rule]:
        """The quality rules by name in the order they are applied; none for snippets, as in the paper's ablation."""
        if self.unit == "snippets":
            return {}
        return rule_set(self.style, self.min_body, self.max_lines, self.max_chars, self.min_words)

    def steps(self) -> list[str]:
        """The names of all steps that remove functions, in the order of the funnel."""
        return [PARSED, *self.rules(), DECONTAMINATED]


@dataclass
class Survey:
    """What the filters did to one shard, or to many: counts, examples, and the files that hold the candidates."""

    files: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """Files skipped, by reason."""
    found: int = 0
    """Functions with a docstring (or snippets)."""
    removed: dict[str, Counter[str]] = field(default_factory=dict)
    """Step -> reason -> functions removed."""
    examples: dict[str, list[Record]] = field(default_factory=dict)
    """Step -> a sample of what it removed: the smallest hashes, whatever the order of work."""
    paths: list[Path] = field(default_factory=list)

    def remove(self, step: str, reason: str, candidate: Record) -> None:
        """Count a removed candidate, and keep it as an example if its hash is among the smallest."""
        self.removed.setdefault(step, Counter())[reason] += 1
        kept = self.examples.setdefault(step, [])
        kept.append(candidate | {"id": content_id(step, candidate), "reason": reason})
        kept.sort(key=lambda example: example["id"])
        del kept[EXAMPLES:]

    def add(self, other: "Survey") -> None:
        """Add the survey of another shard."""
        self.files += other.files
        self.found += other.found
        self.unreadable.update(other.unreadable)
        self.paths += other.paths
        for step, reasons in other.removed.items():
            self.removed.setdefault(step, Counter()).update(reasons)
        for step, examples in other.examples.items():
            merged = self.examples.get(step, []) + examples
            self.examples[step] = sorted(merged, key=lambda example: example["id"])[:EXAMPLES]

    def index(self) -> list[tuple[str, str, int, int]]:
        """Where each candidate is stored: (id, package, number of its file in `paths`, offset), sorted by id.

        A row that occurs twice in a data set has one id and is taken once.
        """
        places = {}
        for number, path in enumerate(self.paths):
            offset = 0
            with path.open("rb") as lines:
                for line in lines:
                    record = json.loads(line)
                    place = (record["id"], record["source"]["package"], number, offset)
                    places.setdefault(record["id"], place)
                    offset += len(line)
        return sorted(places.values())

    def read(self, places: Sequence[tuple[str, str, int, int]]) -> Iterator[Record]:
        """The candidates at these places, in their order; one record is in memory and one file open at a time."""
        for _, _, number, offset in places:
            with self.paths[number].open("rb") as file:
                file.seek(offset)
                yield json.loads(file.readline())


Work = tuple[Shard, Settings, Path]  # the arguments of `curate`


def survey(
    shards: Sequence[Shard],
    settings: Settings,
    folder: Path,
    workers: int = 0,
    run: Callable[[Sequence[Work], int], Iterator[int]] | None = None,
) -> Survey:
    """Pass every shard through extraction, rules and decontamination; `workers` processes (0: one per core).

    `run` does the work: curate_here by default, or `lib.curate.ray_stage.curate_on_ray` on a cluster. A finished
    shard's candidates and counts are stored in `folder` and used again, as long as the shard, the settings and the code
    of this stage are the same. The result depends neither on `workers` nor on `run`. Raises StudyError for a damaged
    archive, a full disk or a killed worker; finished shards stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = code_hash()
    targets = [folder / f"{content_id(shard.key, asdict(settings), code)}.json" for shard in shards]
    for path in folder.iterdir():
        if path.with_suffix(".json") not in targets:
            path.unlink()  # of other settings, or an unfinished shard of a run that was killed
    missing = [number for number, target in enumerate(targets) if not target.exists()]
    progress = Progress("curation", len(shards), "shards", done=len(shards) - len(missing))
    work = [(shards[number], settings, targets[number]) for number in missing]
    for done in (run or curate_here)(work, workers):
        progress.update(progress.resumed + done)
    total = Survey()
    for target in targets:
        total.add(_stored(target))
    return total


def readable(shards: Sequence[Shard]) -> Iterator[Function]:
    """Every function of the readable files of the shards, for exploration: nothing is counted."""
    for file in (file for shard in shards for file in shard.read()):
        with suppress(Unreadable):
            yield from functions(file)


def curate(shard: Shard, settings: Settings, target: Path) -> None:
    """Pass one shard through the filters: candidates into target.jsonl, then the counts into `target`."""
    counts = Survey()
    rules = settings.rules()
    candidates = target.with_suffix(".jsonl")
    try:
        with candidates.open("wb") as output:
            for file in shard.read():
                counts.files += 1
                try:
                    for record in _passing(file, settings, rules, counts):
                        output.write(canonical(record).encode("utf-8", "surrogatepass") + b"\n")
                except Unreadable as reason:
                    counts.unreadable[str(reason)] += 1
    except OSError as error:
        raise StudyError(f"cannot write {candidates}: {error.strerror}; free some space, then run again") from error
    write_text(target, json.dumps(vars(counts)))


def _passing(file: SourceFile, settings: Settings, rules: dict[str, Rule], counts: Survey) -> Iterator[Record]:
    """The file's records that pass all filters; the others are counted."""
    if settings.unit == "snippets":
        for record in snippets.windows(file, settings.snippet_seed):
            counts.found += 1
            if _clean(record, counts):
                yield record
        return
    for function in functions(file):
        counts.found += 1
        try:
            failed = next((name for name, passes in rules.items() if not passes(function)), None)
            if failed is not None:
                counts.remove(failed, f"fails: {failed}", _example(function))
                continue
            record = seed(function, import_header(function))
        except Unreadable as reason:
            counts.remove(PARSED, str(reason), _example(function))
            continue
        if _clean(record, counts):
            yield record


def _clean(record: Record, counts: Survey) -> bool:
    """Whether a record repeats no benchmark; one that does is counted as removed."""
    hit = contamination().hit(record["code"])
    if hit is not None:
        shown = {key: record[key] for key in ("name", "code", "source")}
        counts.remove(DECONTAMINATED, f"{hit.benchmark}, {hit.kind}", shown | {"evidence": hit.evidence})
    return hit is None


def _example(function: Function) -> Record:
    source = {"package": function.file.package, "path": function.file.path, "line": function.line}
    return {"name": function.name, "code": function.code, "source": source}


@cache
def contamination() -> Contamination:
    """The benchmarks' fingerprints, loaded once per process."""
    return Contamination()


def code_hash(root: Path = ROOT) -> str:
    """Hash of all code that turns files into candidates, and of the fingerprints that it uses."""
    fingerprints = {path.name: file_sha256(path) for path in (root / "data" / "benchmarks").iterdir()}
    return content_id(closure_hashes("lib.curate.pipeline", root), fingerprints)


def _stored(target: Path) -> Survey:
    stored = json.loads(target.read_text())
    stored["unreadable"] = Counter(stored["unreadable"])
    stored["removed"] = {step: Counter(reasons) for step, reasons in stored["removed"].items()}
    return Survey(**stored | {"paths": [target.with_suffix(".jsonl")]})


def curate_here(work: Sequence[Work], workers: int = 0) -> Iterator[int]:
    """Run `curate` on each and yield how many are done; in `workers` processes (0: one per core), or in this one."""
    workers = min(workers or len(os.sched_getaffinity(0)), len(work))
    if workers <= 1:
        for done, one in enumerate(work, 1):
            curate(*one)
            yield done
        return
    context = multiprocessing.get_context("spawn")  # a notebook's kernel has threads, which a fork would break
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        waiting = {pool.submit(curate, *one) for one in work}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=1, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                yield len(work) - len(waiting)
        except BrokenProcessPool as error:
            raise StudyError(
                "a worker was killed, most often because memory ran out; lower WORKERS, then run again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Make this worker end when its parent has ended in any way: else it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
