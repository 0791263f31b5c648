"""What a row of a data set holds, whatever the types of its columns: its licence and a file's bytes."""

import contextlib
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lib.core.records import Record
from lib.corpora.licences import PERMISSIVE
from lib.corpora.source import MAX_FILE_BYTES

MARKS = re.compile(r"(?:<(?:reponame|filename|gh_stars)>[^<\n]*)+\n")  # starcoderdata's first line of a file
COPYLEFT = re.compile(r"GPL|^(MPL|EPL|EUPL|CDDL|OSL|CPL|CECILL|MS-RL)-|-SA-", re.IGNORECASE)
KNOWN = {licence.lower(): licence for licence in PERMISSIVE}
SEVERAL = re.compile(r"[\[\]{}'\",;|]")  # between the expressions in a text: commas, JSON
OPERATORS = re.compile(r"\s+(?:AND|OR)\s+|[()]", re.IGNORECASE)  # of SPDX, between the names in an expression
ALL = re.compile(r"\sAND\s", re.IGNORECASE)


def from_line(line: bytes) -> Record:
    """Return the row in a line of JSON; bytes that are not UTF-8 are escaped, so that only their row is lost."""
    return dict(json.loads(line.decode("utf-8-sig", "surrogateescape")))


def from_batch(batch: Any) -> list[Record]:
    """Return the rows of an Arrow batch; text that is not UTF-8, which no writer of Parquet checks, comes as bytes."""
    import pyarrow

    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        texts = (pyarrow.string(), pyarrow.large_string())
        columns = [column.cast(pyarrow.large_binary()) if column.type in texts else column for column in batch.columns]
        return pyarrow.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()


def text(value: object) -> str:
    """Return a name in a row as text that UTF-8 can hold."""
    name = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return name.encode("utf-8", "replace").decode()


def permitted(stated: object) -> str:
    """Return the permissive ones of a row's licences as one SPDX expression, "" to refuse the row.

    The Stack lists what a detector found likely (ECL-2.0 beside Apache-2.0), so one permissive licence is enough; a
    copyleft one among them is not taken for a mistake. They are joined by AND: whoever copies the code obeys each.
    Other data sets give a text: one name, several with commas or as JSON, or an SPDX expression, whose names must all
    be permissive if AND joins them.
    """
    found: set[str] = set()
    for expression in _expressions(stated):
        names = {name.strip().lower() for name in OPERATORS.split(expression)} - {""}
        if any(COPYLEFT.search(name) for name in names):
            return ""
        known = names & KNOWN.keys()
        if known == names or not ALL.search(expression):
            found |= {KNOWN[name] for name in known}
    return " AND ".join(sorted(found))


def _expressions(stated: object) -> Iterator[str]:
    """Yield what a licence column states, whatever its type: texts, bytes, and lists or objects of them."""
    if isinstance(stated, str | bytes):
        yield from SEVERAL.split(text(stated))
    elif isinstance(stated, Mapping):
        yield from _expressions(list(stated.values()))
    elif isinstance(stated, Iterable):
        for one in stated:
            yield from _expressions(one)


def file_bytes(content: str | bytes) -> bytes:
    """Return a row's text as a file's bytes, in the encoding that its first lines declare; truncated when too large.

    A row's bytes are taken for UTF-8 text; what is none stays as it is, and extraction counts it if it does not decode.
    """
    file = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    file = MARKS.sub("", file, count=1) if MARKS.match(file) else file
    try:
        data = file.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # another lone surrogate, which JSON can express
        data = file.encode("utf-8", "surrogatepass")
    if not data.isascii():
        with contextlib.suppress(SyntaxError, LookupError, UnicodeError):
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            data = data if encoding.startswith("utf-8") else file.encode(encoding)
    return data[: MAX_FILE_BYTES + 1]
