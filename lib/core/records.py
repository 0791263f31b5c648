"""How records are stored: one JSON object per line, sorted by id, written atomically; and the journal."""

import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar, overload

Record = dict[str, Any]
Key = TypeVar("Key")
Item = TypeVar("Item")


class StudyError(Exception):
    """An error that a reader can fix; the message is one line and names the remedy."""


class Lazy(Sequence[Item], Generic[Key, Item]):
    """A sequence that makes an item each time it is asked for; only the keys stay in memory."""

    def __init__(self, keys: Sequence[Key], make: Callable[[Key], Item]) -> None:
        self.keys, self.make = keys, make

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> "Lazy[Key, Item]": ...
    def __getitem__(self, place: int | slice) -> "Item | Lazy[Key, Item]":
        if isinstance(place, slice):
            return Lazy(self.keys[place], self.make)
        return self.make(self.keys[place])


def canonical(value: object) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, no escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_id(*parts: object) -> str:
    """Return 16 hexadecimal characters that depend only on the JSON values of `parts`."""
    return hashlib.sha256(canonical(list(parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes (of the unpacked bytes when its name ends in .gz)."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file for an atomic write: a temporary file beside it is filled, flushed to disk and renamed.

    Gzipped when the name ends in .gz. Raises StudyError when it can't be written; the old file is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                    yield file
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StudyError(
            f"cannot write {path}: {error.strerror}; free some space or check the folder's rights"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (see `replacing`)."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def write_records(path: Path, records: Iterable[Record]) -> str:
    """Write records sorted by id, gzipped when the name ends in .gz; return the sha256 of the unpacked bytes.

    A `Lazy` is written as its records are made, and must be sorted already. Raises StudyError when two
    records share an id or the disk is full, ValueError for a disordered `Lazy`; the old file is then untouched.
    """
    rows = records if isinstance(records, Lazy) else sorted(records, key=lambda record: record["id"])
    digest = hashlib.sha256()
    last = ""
    with replacing(path) as file:
        for row in rows:
            if row["id"] == last:
                raise StudyError(
                    f"{path.name}: two records have the id {last}; ids must come from what determines them"
                )
            if row["id"] < last:
                raise ValueError(f"{path.name}: {row['id']} comes after {last}")
            last = row["id"]
            line = canonical(row).encode("utf-8", "surrogatepass") + b"\n"
            file.write(line)
            digest.update(line)
    return digest.hexdigest()


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
    """An append-only file of records by id: added records survive a kill -9, and a torn last line is cut off.

    Only the offsets of the lines are held in memory; a record is read again when it is asked for. One process may hold
    a journal at a time; a second one gets a StudyError.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._writer = path.open("ab", buffering=0)
        self._reader = path.open("rb")
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StudyError(f"{path} is in use by another process; stop it or choose another RUN=") from None
        self._places: dict[str, int] = {}  # where each record's line begins
        self._end = 0
        self._load()

    def _load(self) -> None:
        for number, line in enumerate(self._reader, 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if record is None or not line.endswith(b"\n"):
                if self._reader.read(1):
                    raise StudyError(f"{self.path}:{number} is damaged; delete that line (its work is done again)")
                break
            self._places[record["id"]] = self._end
            self._end += len(line)
        self._cut()

    def _cut(self) -> None:
        """Truncate the file after the last complete line and read it from there."""
        self._writer.truncate(self._end)
        self._reader.close()
        self._reader = self.path.open("rb")

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._places

    def __getitem__(self, record_id: str) -> Record:
        self._reader.seek(self._places[record_id])
        return json.loads(self._reader.readline())

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, list(self._places))

    def add(self, record: Record) -> None:
        """Store a record now; StudyError when the disk is full."""
        line = canonical(record).encode("utf-8", "surrogatepass") + b"\n"
        try:
            left = memoryview(line)
            while left:
                left = left[self._writer.write(left) :]
        except OSError as error:
            self._cut()
            raise StudyError(f"cannot write {self.path}: {error.strerror}; free some space, then run again") from error
        self._places[record["id"]] = self._end
        self._end += len(line)

    def close(self) -> None:
        """Flush to disk and let other processes in."""
        if not self._writer.closed:
            os.fsync(self._writer.fileno())
            self._writer.close()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
