"""What every corpus hands out: Python files with their origin, in shards that are read one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_FILE_BYTES = 1_000_000  # larger files are tables or generated code; extraction counts them as too large


@dataclass(frozen=True)
class SourceFile:
    """One Python file and where it came from; `path` is relative to its archive, folder or repository.

    `data` may be cut off after MAX_FILE_BYTES + 1 bytes: that is enough to see that the file is too large.
    `fault` says why a file has no data that may be used ("unreadable", "licence"); extraction counts it.
    """

    package: str
    version: str
    licence: str
    path: str
    data: bytes
    fault: str = ""


class Shard(Protocol):
    """A part of a corpus that one process reads from start to end, always in the same order; picklable."""

    @property
    def name(self) -> str:
        """A name that no other shard of the corpus has, fit for a file name."""
        ...

    @property
    def key(self) -> str:
        """Hash of what determines the shard's files: work done on a shard is found again by it."""
        ...

    def read(self) -> Iterator[SourceFile]:
        """Yield the shard's files."""
        ...
