"""What a program is given besides its two halves: input, files, data of its tests, as text or by reference."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from lib.core.records import Record, StudyError, file_sha256

BLOCK = 4096  # bytes that a file takes at least
NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a file in the working folder


def by_reference(path: Path) -> Record:
    """Return what stands for a file's content in a program: it is read, and its hash checked, when the program runs."""
    return {"path": str(path), "sha256": file_sha256(path)}


def content(given: str | Record) -> bytes:
    """Return the bytes of a text or of a reference; StudyError when a file is gone or another."""
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    try:
        data = Path(given["path"]).read_bytes()
    except OSError as error:
        raise StudyError(f"a program needs {given['path']}, which cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != given["sha256"]:
        raise StudyError(f"{given['path']} has changed since programs were made of it: begin anew")
    return data


def first(program: Record, room: int) -> dict[str, Any]:
    """Return what the harness gets before the response runs: code, input, files, and what is to be read back.

    StudyError for a file's name that is not plain, and for more than `room` bytes.
    """
    files, stdin = program.get("files"), program.get("stdin")
    if program.get("keep") is not None:
        files = files or {}
    for name in (*(files or ()), *(program.get("keep") or ())):
        if not NAME.fullmatch(name):
            raise StudyError(f"a program's file is called {name!r:.60}; use letters, digits, _ - and .")
    packed = None if files is None else {name: content(one) for name, one in files.items()}
    given = None if stdin is None else content(stdin)
    if (size := sum(len(one) + BLOCK for one in (*(packed or {}).values(), given or b""))) > room:
        raise StudyError(f"a program gets {size:,} bytes of files; raise files_mb of its limits above {room >> 20}")
    return {
        "code": program["code"],
        "script": program["tests"] is None,
        "files": None if packed is None else {name: base64.b64encode(one).decode() for name, one in packed.items()},
        "stdin": None if given is None else base64.b64encode(given).decode(),
        "output": bool(program.get("output")),
        "keep": program.get("keep") or [],
    }


def second(program: Record) -> dict[str, Any]:
    """Return what the harness gives to the tests alone: their data, by the names under which they find them."""
    found = program.get("data") or {}
    return {"data": {name: content(one).decode("utf-8", "surrogatepass") for name, one in found.items()}}
