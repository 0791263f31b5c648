"""What every corpus provides: Python files with their origin, in shards that are read one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_FILE_BYTES = 1_000_000  # larger files are tables or generated code, which extraction counts as too large


@dataclass(frozen=True)
class SourceFile:
    """One Python file and where it came from; `path` is relative to its archive, folder or repository.

    `data` may be truncated to MAX_FILE_BYTES + 1 bytes, which suffice to see that the file is too large. `fault` says
    why a file may not be used ("unreadable", "licence", "not text"); extraction counts it.
    """

    package: str
    version: str
    licence: str
    path: str
    data: bytes
    fault: str = ""


class Shard(Protocol):
    """A part of a corpus that one process reads, always in the same order; picklable."""

    @property
    def name(self) -> str:
        """A name, unique in the corpus, that may be a file name."""
        ...

    @property
    def key(self) -> str:
        """Hash of what determines the shard's files, by which work done on the shard is found again."""
        ...

    def read(self) -> Iterator[SourceFile]:
        """Yield the shard's files."""
        ...
