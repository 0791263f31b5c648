"""The record types and how they are stored: one JSON object a line, sorted by id, written whole or not at all."""

import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict

Record = dict[str, Any]


class StudyError(Exception):
    """Something a reader can mend; the message is one line and names the remedy."""


class Source(TypedDict):
    """Where a seed comes from, down to the line."""

    package: str
    version: str
    licence: str
    path: str
    line: int


class Seed(TypedDict):
    """A function of the corpus that inspires one task; `order` is its rank: the judged ones first, each shuffled."""

    id: str
    code: str
    name: str
    docstring: str
    order: int
    judged: bool
    source: Source


class Generated(TypedDict):
    """What every record made by a model carries: enough to make the same request again."""

    id: str
    exemplars: list[str]
    sampling_seed: int
    request: str
    model: str
    engine: str


class Concepts(Generated):
    """The concepts drawn from one seed (SelfCodeAlign, section 2.2)."""

    seed: str
    concepts: list[str]


class Instruction(Generated):
    """A task made from concepts, with the category and difficulty that were drawn for it."""

    parent: str
    seed: str
    instruction: str
    category: str
    difficulty: str


class Response(Generated):
    """One sampled answer with its tests, as the model wrote it; `tokens` counts the completion."""

    parent: str
    seed: str
    sample: int
    text: str
    finish_reason: str
    tokens: int


class Verdict(TypedDict):
    """What the sandbox saw when it ran a response with its tests; `seconds`, wall time, is in the journal only."""

    id: str
    verdict: str
    detail: str
    tier: str
    seconds: NotRequired[float]
    code: NotRequired[str]
    tests: NotRequired[str]


class Example(TypedDict):
    """One training example: what the model reads and writes, and all that led to it."""

    id: str
    parent: str
    instruction: str
    response: str
    tests: str
    pass_rate: float
    category: str
    difficulty: str
    seed: str
    source: Source
    sample: int
    exemplars: list[str]
    sampling_seed: int
    request: str
    model: str
    engine: str


# What a finished run's files hold; a test holds the reference run to it.
RECORD_TYPES: dict[str, type] = {
    "01_seed_curation/seeds.jsonl": Seed,
    "02_self_oss_instruct/concepts.jsonl": Concepts,
    "02_self_oss_instruct/instructions.jsonl": Instruction,
    "02_self_oss_instruct/responses.jsonl": Response,
    "03_execution_filtering/verdicts.jsonl": Verdict,
    "03_execution_filtering/dataset.jsonl": Example,
}


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_id(*parts: object) -> str:
    """Return 16 hex characters that depend on nothing but the JSON values of `parts`."""
    return hashlib.sha256(canonical(list(parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes (of the unpacked bytes when its name ends in .gz)."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a temporary neighbour is filled, flushed to disk and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8", "surrogatepass")
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StudyError(
            f"cannot write {path}: {error.strerror}; free some space or check the folder's rights"
        ) from error


def write_records(path: Path, records: Iterable[Record]) -> str:
    """Write records sorted by id, gzipped when the name ends in .gz; return the sha256 of the unpacked bytes.

    Raises StudyError when two records share an id or the disk is full; the old file is then untouched.
    """
    rows = sorted(records, key=lambda record: record["id"])
    for one, other in zip(rows, rows[1:], strict=False):
        if one["id"] == other["id"]:
            raise StudyError(
                f"{path.name}: two records have the id {one['id']}; ids must come from what determines them"
            )
    text = "".join(canonical(row) + "\n" for row in rows)
    write_text(path, text)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def iter_records(path: Path) -> Iterator[Record]:
    """Yield the records of a .jsonl or .jsonl.gz file; StudyError names the file and line that is not JSON."""
    if not path.is_file():
        raise StudyError(f"{path} is missing: run the notebook that writes it first (make help lists them)")
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise StudyError(
                    f"{path}:{number} is not a JSON record; delete the file and run its notebook again"
                ) from error


def read_records(path: Path) -> list[Record]:
    """Return all records of a file, in file order."""
    return list(iter_records(path))


class Journal:
    """An append-only file of records by id: what was added survives a kill -9, a torn last line is cut off.

    One process may hold a journal at a time; a second one gets a StudyError.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StudyError(f"{path} is in use by another process; stop it or choose another RUN=") from None
        self._records: dict[str, Record] = {}
        self._load()

    def _load(self) -> None:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        whole = 0  # bytes up to the end of the last sound line
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if record is None or not line.endswith(b"\n"):
                if number < len(lines):
                    raise StudyError(f"{self.path}:{number} is damaged; delete that line (its work is done again)")
                break
            self._records[record["id"]] = record
            whole += len(line)
        self._file.truncate(whole)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._records

    def __getitem__(self, record_id: str) -> Record:
        return self._records[record_id]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def add(self, record: Record) -> None:
        """Store a record now; StudyError when the disk is full."""
        try:
            self._file.write(canonical(record).encode("utf-8", "surrogatepass") + b"\n")
            self._file.flush()
        except OSError as error:
            raise StudyError(f"cannot write {self.path}: {error.strerror}; free some space, then run again") from error
        self._records[record["id"]] = record

    def close(self) -> None:
        """Flush to disk and let other processes in."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
