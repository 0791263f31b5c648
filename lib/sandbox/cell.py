"""The cell: the forked process that runs one program, the response first, then its tests. Standard library only."""

import base64
import contextlib
import errno
import importlib
import json
import marshal
import math
import os
import resource
import signal
import socket
import sys
import traceback
import types
import unittest
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from lib.sandbox.channel import Message, receive, send
from lib.sandbox.control import other
from lib.sandbox.landlock import Walls

# Imported before the first fork: every cell has them from the start, and patches to them can be undone.
PRELOAD = (
    "array", "ast", "bisect", "builtins", "calendar", "cmath", "collections", "copy", "csv", "datetime", "decimal",
    "enum", "fractions", "functools", "glob", "hashlib", "heapq", "inspect", "io", "itertools", "keyword", "numbers",
    "operator", "pickle", "pprint", "queue", "random", "shutil", "statistics", "string", "subprocess", "tempfile",
    "textwrap", "threading", "typing", "unicodedata", "uuid", "warnings", "weakref",
)  # fmt: skip
OWN = ("base64", "json", "marshal", "os", "socket", "struct", "traceback")  # modules that a cell itself uses
MAX_REPORT = 16 << 10  # characters of JSON that the tests may report
# The callables of every module before any program ran: package -> (a module's namespace, its callables) for each.
SNAPSHOT: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}


def preload(packages: Iterable[str]) -> None:
    """Import the usual modules of the standard library and these packages; record the callables of all modules."""
    for name in (*PRELOAD, *packages):
        importlib.import_module(name)
    for name, module in sorted(sys.modules.items()):
        if name != "__main__":
            callables = {key: value for key, value in vars(module).items() if callable(value)}
            SNAPSHOT.setdefault(name.partition(".")[0], []).append((vars(module), callables))


def confine(channel: socket.socket, output: int, limits: Message, walls: Walls | None) -> None:
    """Give up all that this process can: descriptors, session, resources beyond the limits, its `walls` if any."""
    if walls is not None:
        walls.enter()
    else:  # with walls there are no child processes, and without a namespace all of the user's would count
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"], limits["processes"]))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    fd = channel.fileno()
    os.closerange(3, fd)
    os.closerange(fd + 1, 4096)
    os.setsid()
    cpu, size = max(1, math.ceil(limits["cpu_seconds"])), limits["files_mb"] << 20
    memory = limits["memory_mb"] << 20
    for limit, value in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_NOFILE, 128), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_MEMLOCK, 0),
    ):  # fmt: skip
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))


def describe(error: BaseException) -> str:
    """The exception in one line; its __str__ may fail."""
    try:
        text = " ".join(str(error).split())[:200]
    except BaseException:
        text = "?"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def verdict_of(error: BaseException, otherwise: str) -> str:
    """The verdict that follows from an exception."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "oom"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "cheat"
    return otherwise


def undo_patches(imported: Iterable[str]) -> None:
    """Undo what a response changed in the interpreter: hooks, timers, callables of what it or its tests import.

    Not those of all modules: reading an object writes its reference count, and the kernel then copies the page.
    """
    sys.settrace(None)
    sys.setprofile(None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for package in ("builtins", *imported):
        for now, original in SNAPSHOT.get(package, ()):
            for name, value in original.items():
                if now.get(name) is not value:
                    now[name] = value


def expecting(control: bool) -> Callable[[object, bool], object]:
    """The function through which the tests pass every expected value that is not a literal."""

    def expected(value: object, far: bool) -> object:
        return other(value, far) if control else value

    return expected


def run_case(case: type[unittest.TestCase]) -> None:
    """Run a unittest class; its first failure propagates."""
    with contextlib.suppress(unittest.SkipTest):
        unittest.defaultTestLoader.loadTestsFromTestCase(case).debug()


class Report:
    """What the tests find under the name in a program's `report`: the time `scale`, and a slot for one JSON value."""

    def __init__(self, scale: float):
        self.scale, self.text = scale, "null"

    def store(self, value: object) -> None:
        """Send a value with the end of the tests, instead of an earlier one; ValueError when its JSON is too long."""
        text = json.dumps(value)
        if len(text) > MAX_REPORT:
            raise ValueError(f"a report of {len(text)} characters of JSON; at most {MAX_REPORT} are sent")
        self.text = text


def watching(hidden: list[int]) -> Callable[[], None]:
    """The function that the tests call when an assertion fails, before anything can suppress the exception."""

    def missed() -> None:
        """Record the line, unless the assertion is the response's own: a test may expect that to fail."""
        error, trace = sys.exc_info()[1:]
        *_, (frame, _) = traceback.walk_tb(trace)
        if isinstance(error, AssertionError) and frame.f_code.co_filename != "<response>":
            hidden.append(trace.tb_lineno if trace else 0)

    return missed


def failure(error: BaseException, last: int) -> Message | None:
    """The message for an exception from the tests; None for sys.exit(0) in their last statement, at line `last`."""
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    line = next((line for name, line in reversed(places) if name == "<tests>"), 0)
    done = isinstance(error, SystemExit) and error.code in (None, 0) and line >= last
    if done and places[-1][0] == "<tests>":
        return None
    return {"failed": verdict_of(error, "fail"), "error": describe(error), "line": line}


def run(channel: socket.socket, output: int, job: Message, walls: Walls | None) -> NoReturn:
    """Run a program; never returns. Both halves run in this frame, so that both have the same depth of recursion."""
    home, leave, tell = os.getpid(), os._exit, send  # bound before the response can replace them
    code = job.pop("code")
    module = types.ModuleType("solution")
    space = module.__dict__
    try:
        confine(channel, output, job["limits"], walls)
        sys.argv = ["solution.py"]
        sys.modules["solution"] = sys.modules["__main__"] = module
        exec(compile(code, "<response>", "exec", dont_inherit=True), space)
    except BaseException as error:
        tell(channel, {"failed": verdict_of(error, "error"), "error": describe(error)})
        leave(1)
    if os.getpid() != home:
        leave(0)
    undo_patches(OWN)  # before anything of the tests can be seen here
    tell(channel, {"loaded": True})
    second = receive(channel) or {}
    undo_patches(second["imported"])
    ticks, hidden, report = list[int](), list[int](), Report(job["limits"]["scale"])
    helpers = (ticks.append, watching(hidden), expecting(second.pop("control")), run_case)
    ours = dict(zip(second["names"], helpers, strict=True))
    space |= ours | {"__name__": "__main__"} | ({second["report"]: report} if second["report"] else {})
    unittest.main = lambda *_, **__: None  # type: ignore[assignment]  # the harness runs test classes itself

    def end(message: Message) -> NoReturn:
        """Report how the tests ended, unless this is a child that the program forked."""
        if os.getpid() == home:
            tell(channel, message | {"report": report.text})
        leave(1 if "failed" in message else 0)

    try:
        exec(marshal.loads(base64.b64decode(second["program"])), space)
    except BaseException as error:
        if failed := failure(error, second["last"]):
            end(failed)
    if any(space.get(name) is not own for name, own in ours.items()):
        end({"failed": "cheat", "error": "changed what the harness gave to the tests", "line": 0})
    end({"nonce": second["nonce"], "ticks": len(ticks), "hidden": hidden[:1]})
