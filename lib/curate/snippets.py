"""Random windows of code as seeds instead of functions: the paper's ablation (table 10, "random snippets")."""

import random
import textwrap
from collections.abc import Iterator
from pathlib import PurePosixPath

from lib.core.records import Record, content_id
from lib.corpora.source import SourceFile
from lib.curate.extract import Unreadable, decode

# All defaults of the official collect_snippets.py.
SEED = 976
DOCUMENT_LINES = (10, 5000)
MEAN_LINE = 80  # characters
CHUNK_LINES = 100
WINDOW_LINES = (5, 30)


def windows(file: SourceFile, seed: int = SEED) -> Iterator[Record]:
    """Yield the seed records of a file: one window of 5 to 30 lines out of each 100, at a random place.

    Tabs are expanded and the common indentation is removed. Windows without a letter or digit are dropped, and so is a
    last chunk of fewer than 5 lines; near-duplicates are dropped later. The draw depends only on `seed` and on the
    file's package, version and path. Raises Unreadable as `decode` does, and for a document that is "too short" or
    "too long" (lines) or has "long lines" (on average).
    """
    lines = _lines(file)
    draw = random.Random(content_id(seed, file.package, file.version, file.path))
    fewest, most = WINDOW_LINES
    for start in range(0, len(lines), CHUNK_LINES):
        chunk = lines[start : start + CHUNK_LINES]
        if len(chunk) < fewest:
            break
        length = draw.randint(fewest, min(most, len(chunk)))
        offset = draw.randint(0, len(chunk) - length)
        code = textwrap.dedent("\n".join(chunk[offset : offset + length]).expandtabs())
        if any(character.isalnum() for character in code):
            yield _seed(file, code, start + offset + 1)


def _lines(file: SourceFile) -> list[str]:
    lines = decode(file).removesuffix("\n").split("\n")
    fewest, most = DOCUMENT_LINES
    if not fewest <= len(lines) <= most:
        raise Unreadable("too short" if len(lines) < fewest else "too long")
    if sum(map(len, lines)) > MEAN_LINE * len(lines):
        raise Unreadable("long lines")
    return lines


def _seed(file: SourceFile, code: str, line: int) -> Record:
    source = {"package": file.package, "version": file.version, "licence": file.licence}
    source |= {"path": file.path, "line": line}
    return {
        "id": content_id("seed", source, code),
        "code": code,
        "name": PurePosixPath(file.path).stem,
        "docstring": "",
        "source": source,
    }
