"""The cell: the forked process that runs one program, the response first, then its tests. Standard library only."""

import atexit
import base64
import builtins
import contextlib
import errno
import importlib
import importlib.machinery
import json
import linecache
import marshal
import math
import os
import re
import resource
import signal
import socket
import sys
import threading
import traceback
import types
import unittest
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from lib.sandbox import control, gate, stubs, units
from lib.sandbox.channel import Message, receive, send
from lib.sandbox.desk import Desk
from lib.sandbox.landlock import Walls

# Imported before the first fork: every cell has them from the start, and patches to them can be undone.
PRELOAD = (
    "array", "ast", "bisect", "builtins", "calendar", "cmath", "collections", "copy", "csv", "datetime", "decimal",
    "enum", "fractions", "functools", "glob", "hashlib", "heapq", "inspect", "io", "itertools", "keyword", "numbers",
    "operator", "pickle", "pprint", "queue", "random", "shutil", "statistics", "string", "subprocess", "tempfile",
    "textwrap", "threading", "typing", "unicodedata", "uuid", "warnings", "weakref",
)  # fmt: skip
OWN = ("builtins", "base64", "json", "marshal", "traceback")  # modules whose functions a cell itself calls later
LOOKING = ("inspect", "getsource", "traceback", "linecache", "doctest", "__file__")  # at source
MAX_REPORT = 16 << 10  # characters of JSON that the tests may report
# The callables of every module before any program ran: package -> (a module's namespace, its callables) for each.
SNAPSHOT: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
MODULES: dict[str, types.ModuleType] = {}  # and the modules themselves
FINDERS = tuple(sys.meta_path)
CLASSES: dict[type, dict[str, Any]] = {}  # those of unittest with what they define


def preload(packages: Iterable[str]) -> None:
    """Import the usual modules of the standard library and these packages; record the callables of all modules."""
    for name in (*PRELOAD, *packages):
        importlib.import_module(name)
    for name, module in sorted(sys.modules.items()):
        if name != "__main__":
            MODULES[name] = module
            callables = {key: value for key, value in vars(module).items() if callable(value)}
            SNAPSHOT.setdefault(name.partition(".")[0], []).append((vars(module), callables))
            if name.startswith("unittest."):
                CLASSES.update({one: dict(vars(one)) for one in callables.values() if isinstance(one, type)})


def confine(channel: socket.socket, output: int, limits: Message, walls: Walls | None, desk: Desk) -> None:
    """Give up all that this process can: descriptors, session, resources beyond the limits, its `walls` if any."""
    desk.sit()
    if walls is not None:
        walls.enter()
    else:  # with walls there are no child processes, and without a namespace all of the user's would count
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"], limits["processes"]))
    os.dup2(desk.stdin if desk.stdin >= 0 else os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY) if desk.apart else output, 2)
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


def patched(imported: Iterable[str], assigned: Iterable[str]) -> bool:
    """Whether a function of the interpreter or of a module in use has been replaced, and not by the tests.

    `assigned` are the names of attributes that the tests assign: builtins.print = out.append.
    """
    held = [pair for package in ("builtins", *imported) for pair in SNAPSHOT.get(package, ())]
    if "unittest" in imported:
        held += [(dict(vars(one)), original) for one, original in CLASSES.items()]
    for now, original in held:
        for name, value in original.items():
            found = now.get(name)
            if found is value or name in assigned or type(found).__module__ == "unittest.mock":
                continue
            if getattr(found, "__module__", "") != units.__name__:
                return True
    return False


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

    Not those of all modules: reading an object writes its reference count, and the kernel then copies the page. Of
    unittest the methods, too: cases that are not run, or always succeed, would leave the others to pass.
    """
    sys.settrace(None)
    sys.setprofile(None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.meta_path[:] = FINDERS
    for name in ("builtins", *imported):
        if name in MODULES:
            sys.modules[name] = MODULES[name]
        elif name in sys.modules and name != "solution" and importlib.machinery.PathFinder.find_spec(name) is None:
            del sys.modules[name]  # a response's own invention
    for package in imported:
        for now, original in SNAPSHOT.get(package, ()):
            for name, value in original.items():
                if now.get(name) is not value:
                    now[name] = value
    for one, original in CLASSES.items() if "unittest" in imported else ():
        for name, value in original.items():
            if vars(one).get(name) is not value:
                setattr(one, name, value)
        for name in vars(one).keys() - original.keys():
            delattr(one, name)


class Checks:
    """What the assertions of the tests did: how often each held, how many failed, and at which lines.

    Its methods `tick`, `missed`, `expected` and `enter` are what the rewritten tests call (`lib.sandbox.gate`). `trial`
    is "" for the program as it is, "control", or the kind of stub that stands for the response.
    """

    def __init__(self, assertions: int, trial: str) -> None:
        self.held, self.failed = [0] * assertions, [0] * (assertions + 1)  # the last is of what is no assertion
        self.raised, self.voided = 0, set[int]()
        self.failures: list[int] = []  # lines; those that end no case have been hidden
        self.entered = set[str]()  # test functions that the tests have called
        self.trial, self.void, self.truth = trial, False, None
        self.first: Callable[[int], None] = lambda number: None  # told when an assertion has held once

    def tick(self, number: int) -> None:
        """An assertion held."""
        if self.void:
            self.void = False
            self.voided.add(number)
            return
        self.held[number] += 1
        if self.held[number] == 1:
            self.first(number)

    def missed(self, how: str, number: int) -> bool:
        """Assertion `number` failed; whether the exception propagates.

        `how` is "failed"; "raised" (the tests raise an exception of their own); "swallowed" (a handler has caught
        whatever kept an assertion from being reached); or "replaced" (the handler asserts something else instead). A
        failure of the response's own is none: a test may expect that.
        """
        error, trace = sys.exc_info()[1:]
        void, self.void = self.void, False
        if how == "replaced":
            return True
        self.raised += how == "raised"
        *_, (frame, _) = traceback.walk_tb(trace)
        left = isinstance(error, (SystemExit, unittest.SkipTest)) and how == "failed"  # none is left by an assertion
        own = isinstance(error, AssertionError) and frame.f_code.co_filename != gate.RESPONSE
        if own or left or how == "swallowed":
            self.failures.append(trace.tb_lineno if trace else 0)
            self.failed[number] += not void
        elif self.trial == stubs.KINDS[0] and how == "failed":
            self.failed[number] += not void
        return how == "raised" or not self.trial

    def enter(self, name: str) -> None:
        """The tests' function of this name is called."""
        self.entered.add(name)

    def expected(self, value: object, how: bool | str) -> object:
        """An expected value that is not a literal, or another one in the control; `how`: `control.changed_to`.

        The "message" of assertTrue(f(1), 2) after its "truth" shows that a comparison was meant when it is no text, or
        when both are texts: such an assertion counts for nothing.
        """
        if how == "truth":
            self.truth = value
            return value
        if how == "message":
            same = type(value) is type(self.truth) or not isinstance(value, (str, types.NoneType))
            self.void = same and not isinstance(self.truth, bool)
            return value
        return control.changed_to(value, how) if self.trial == "control" else value


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


def codes(code: types.CodeType) -> set[types.CodeType]:
    """The code of a module and of all that it defines."""
    return {code}.union(*(codes(one) for one in code.co_consts if isinstance(one, types.CodeType)))


def failure(error: BaseException, tests: str, last: int | None, own: set[types.CodeType]) -> Message | None:
    """The message for an exception from the tests; None where they end themselves.

    They do by unittest.main(), and by sys.exit(0) in their last statement, at line `last` (None inside a case). A line
    of theirs must say so, and no other code than theirs (`own`) and the exit's may be on the way: a file name proves
    nothing, as a response can compile what it likes under any.
    """
    places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [line for code, line in places if code.co_filename == gate.TESTS]
    line = lines[-1] if lines else 0
    found = {"verdict": verdict_of(error, "fail"), "error": describe(error), "line": line}
    if not isinstance(error, SystemExit) or last is None or not 0 < line <= tests.count("\n") + 1:
        return found
    ours = {__file__, units.__file__, type(builtins.exit).__call__.__code__.co_filename}
    genuine = all(code in own or code.co_filename in ours for code, _ in places)
    says = tests.splitlines()[line - 1]
    if isinstance(error, units.Finished):
        ended = "main" in says
    else:
        ended = error.code in (None, 0) and max(lines) >= last and re.search("exit|quit|Exit", says) is not None
    return None if genuine and ended else found


def show_source(space: dict[str, Any], code: str, tests: str = "") -> None:
    """Let inspect, traceback and doctest find the lines of both halves, and a program its file if it names it.

    Those of the tests, which the control does not change, only where the tests themselves look at source.
    """
    tests = tests if any(word in tests for word in LOOKING) else ""
    for file, text in ((gate.RESPONSE, code), (gate.TESTS, tests), (space["__file__"], f"{code}\n{tests}")):
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    if "__file__" in code or "__file__" in tests:
        with open(space["__file__"], "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(f"{code}\n{tests}")


def load(code: str, space: dict[str, Any]) -> None:
    """Run a response as the main module, but for the part under its `__main__` guard."""
    space |= {"__name__": "__main__", "__file__": os.path.join(os.environ.get("TMPDIR", "/tmp"), "solution.py")}
    show_source(space, code)
    source = gate.loadable(code) if "__name__" in code or "__future__" in code else code
    exec(compile(source, gate.RESPONSE, "exec", dont_inherit=True), space)


def perform(code: str, space: dict[str, Any]) -> None:
    """Run a response as a whole program to its end: with the part under its `__main__` guard, threads, exit functions.

    Its output is sent off; `sys.exit(0)` is an end, too.
    """
    space |= {"__name__": "__main__", "__file__": os.path.join(os.environ.get("TMPDIR", "/tmp"), "solution.py")}
    show_source(space, code)
    atexit._clear()  # of what was imported before
    try:
        exec(compile(code, gate.RESPONSE, "exec", dont_inherit=True), space)
    except SystemExit as left:
        if left.code not in (None, 0):
            raise
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    send_off()


def send_off() -> None:
    """Write what is still in the buffers of standard output, a response's own included."""
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]


def run(channel: socket.socket, output: int, job: Message, walls: Walls | None, desk: Desk) -> NoReturn:
    """Run a program; never returns. Both halves run from this frame: they have about the same depth of recursion."""
    getpid, leave, tell = os.getpid, os._exit, send  # bound before the response can replace them
    home = getpid()
    code = job.pop("code")
    module = types.ModuleType("__main__")
    space = module.__dict__
    hooked, own = list[str](), set[types.CodeType]()

    def watch(event: str, _: object) -> None:
        """Note a tracing function that the response sets: it could jump over assertions."""
        if event in ("sys.settrace", "sys.setprofile"):
            doctest, frame = sys.modules.get("doctest"), sys._getframe(1)
            if doctest is not None and frame.f_globals is vars(doctest):  # it sets the one that was there
                return
            while frame is not None:
                name = frame.f_code.co_filename
                if name.startswith("<") and not name.startswith("<frozen") and frame.f_code not in own:
                    hooked.append(event)  # of the response, or of code that it made
                    return
                frame = frame.f_back

    sys.addaudithook(watch)
    try:
        confine(channel, output, job["limits"], walls, desk)
        sys.argv = ["solution.py"]
        sys.modules["solution"] = sys.modules["__main__"] = module
        (perform if job.get("script") else load)(code, space)
    except BaseException as error:
        tell(channel, {"failed": verdict_of(error, "error"), "error": describe(error)})
        leave(1)
    if getpid() != home:
        leave(0)
    undo_patches(OWN)  # before anything of the tests can be seen here
    tell(channel, {"loaded": True})
    second = receive(channel) or {}
    undo_patches(second["imported"])
    hooked.clear()
    trial, lines = second["trial"], second["lines"]
    checks, report, passing = Checks(len(lines), trial), Report(job["limits"]["scale"]), True
    control.CHANCE.seed(second["seed"])
    show_source(space, code, second["tests"])
    if trial in stubs.KINDS:
        stubs.install(space, second["defined"], trial)
    if second["entry"]:  # for check(candidate), as a helper of the response may have the name `check`, too
        space = dict(space)
    helpers = (checks.tick, checks.missed, checks.expected, checks.enter)
    ours = dict(zip(second["names"], helpers, strict=True)) | second["data"]
    space |= ours | ({second["report"]: report} if second["report"] else {})

    def unit(name: str, verdict: str, error: BaseException | None, last: int | None = None) -> None:
        """Report a case, or an assertion outside of cases, that has ended, unless this is a child process."""
        nonlocal passing
        checks.failed[-1] += bool(trial) and isinstance(error, AssertionError)
        failed = failure(error, second["tests"], last, own) if error is not None else None
        passing = passing and not failed
        if getpid() == home and (failed or error is None):
            tell(channel, {"unit": name, "verdict": verdict, "error": "", "line": 0} | (failed or {}))

    program = marshal.loads(base64.b64decode(second["program"]))
    own |= codes(program)
    cases = units.Cases(space, checks.entered, unit, checks.failures, second["tests"])
    checks.first = lambda number: None if cases.running else unit(f"line {lines[number]}", "pass", None)
    cases.take_over()
    try:
        exec(program, space)
        cases.rest()
        if second["entry"] and "check" not in checks.entered:
            cases.one("check", lambda: eval(f"check({second['entry']})", space), lambda: None)
    except BaseException as error:
        unit("the module", "", error, second["last_line"])
    end: Message = {"nonce": second["nonce"], "report": report.text, "hidden": checks.failures[:1]}
    end |= {"held": checks.held, "failed": checks.failed, "raised": checks.raised, "voided": [*checks.voided]}
    kept = all(space.get(name) is one for name, one in ours.items())
    end["changed"] = (
        bool(hooked) or not kept or (passing and not trial and patched(second["imported"], second["assigned"]))
    )
    if desk.apart:
        send_off()
    if getpid() == home:
        tell(channel, end)
    leave(0)
