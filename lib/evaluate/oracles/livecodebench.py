"""Runs a solution of LiveCodeBench on a task's inputs, inside the box, and says what it gave as digests.

`lib.evaluate.benchmarks.livecodebench` sends this module's source and compares the digests with those of the expected
outputs, which never enter the box. Two outputs have the same digest when LiveCodeBench's rules take them for equal
(lcb_runner/evaluation/testing_util.py): printed lines without the blanks around them, numbers in them by value;
returned values as Python's `==` compares what JSON can hold, a tuple as a list. Standard library only.
"""

import atexit
import contextlib
import hashlib
import json
import os
import reprlib
import sys
import tempfile
import threading
from collections.abc import Callable
from decimal import Decimal
from types import CodeType, ModuleType
from typing import IO, Any

from lib.evaluate.oracles.calls import Late, Silence, called

DIGEST = 16  # hexadecimal digits of a digest; a report has room for some 900 of them
NOTHING = "-" * DIGEST  # the digest of what no expected output equals
HEADS, HEAD = 6000, 100  # characters of all outputs' beginnings that are reported, and of one
# What LiveCodeBench puts above a solution: all names of these modules, in this order, and the modules' own.
STARRED = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json", "builtins", "typing",
)  # fmt: skip
MODULES = STARRED[: STARRED.index("builtins")]
HEADER = "\n".join([*(f"from {name} import *" for name in STARRED), *(f"import {name}" for name in MODULES)])
RECURSION, DIGITS = 50_000, 50_000  # its limits of the depth of calls, and of an integer's digits as text


def run(source: str, job: dict[str, Any], inputs: list[str], scale: float) -> dict[str, Any]:
    """Run a solution on inputs one after the other, up to the first that fails or takes too long.

    `job` has the name of the method to be called (None for a program that reads standard input) and the seconds that
    each input may take, which are multiplied by `scale`, the machine's. Returns status (ended, timeout or failed), why,
    digests (one after the other, of the outputs up to there) and heads (the outputs' beginnings).
    """
    seconds, room = job["seconds"] * scale, min(HEAD, HEADS // max(len(inputs), 1))
    digests, heads, status, why = list[str](), list[str](), "ended", ""
    try:
        prepare()
        answer: Callable[[str], Any] = called(loaded, (source, job["method"]), seconds)
        judged = printed if job["method"] is None else returned
        for given in inputs:
            output = called(answer, (given,), seconds)
            digests.append(judged(output))
            heads += [beginning(output)[:room]] if room >= DIGEST else []
    except Late:
        status, why = "timeout", f"not finished within {job['seconds']:.1f} s"
    except BaseException as error:
        status, why = "failed", f"{type(error).__name__}: {error!s:.100}"
    return {"status": status, "why": " ".join(why.split())[:200], "digests": "".join(digests), "heads": heads}


def prepare() -> None:
    """Set LiveCodeBench's limits of recursion and digits; nothing can be read, what is written goes nowhere."""
    sys.setrecursionlimit(RECURSION)
    sys.set_int_max_str_digits(DIGITS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), Silence(), Silence()  # type: ignore[assignment]


def stream(fd: int, mode: str) -> IO[str]:
    """Return a descriptor as a file of text."""
    return open(fd, mode, encoding="utf-8", closefd=False)


def loaded(source: str, method: str | None) -> Callable[[str], Any]:
    """Return what takes one input: a call of the solution's method, or a run of it as a program.

    AttributeError when it has no such method.
    """
    names: dict[str, Any] = {}
    exec(HEADER, names)
    code = compile(source, "<response>", "exec", dont_inherit=True)
    if method is None:
        return lambda given: performed(code, names, given)
    main = started(names)
    exec(code, vars(main))
    answer = getattr(vars(main)["Solution"]() if "class Solution" in source else main, method)
    return lambda given: answer(*map(json.loads, given.split("\n")))


def started(names: dict[str, Any]) -> ModuleType:
    """Return a new main module that begins with these names."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main).update(names)
    return main


def performed(code: CodeType, names: dict[str, Any], given: str) -> str:
    """Return what a program prints for an input, once its threads and exit functions have ended, too.

    Its descriptors 0 and 1 are files, so that it can read and write however it likes.
    """
    for fd in range(2):  # whatever the run before has done to them
        os.dup2(2, fd)
    with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as written:
        read.write(given.encode("utf-8", "surrogatepass"))
        read.seek(0)
        os.dup2(read.fileno(), 0)
        os.dup2(written.fileno(), 1)
        sys.stdin = sys.__stdin__ = stream(0, "r")
        sys.stdout = sys.__stdout__ = out = stream(1, "w")
        main = started(names | {"stdin": sys.stdin, "stdout": out})
        atexit._clear()
        with contextlib.suppress(SystemExit):  # LiveCodeBench takes any for an end
            exec(code, vars(main))
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        for file in (sys.stdout, out):
            file.flush()
        written.seek(0)
        return written.read().decode("utf-8", "replace")


def printed(text: str) -> str:
    """Return the digest of what a program printed."""
    return digest([numbers(line.strip()) for line in text.strip().split("\n")])


def numbers(line: str) -> str:
    """Return a line of numbers as their values, any other as it is; each kind begins with its own word."""
    try:
        return " ".join(["numbers", *(exact(Decimal(word)) for word in line.split())])
    except (ArithmeticError, ValueError):
        return f"text {line}"


def exact(number: Decimal) -> str:
    """Return a finite number in one way only, without rounding; ValueError for another."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError
    text = "".join(map(str, digits))
    shown = text.rstrip("0")
    return f"{'-' * sign}{shown}e{exponent + len(text) - len(shown)}" if shown else "0"


def returned(value: Any) -> str:
    """Return the digest of what a method returned; NOTHING for what JSON has no type for."""
    try:
        return digest(plain([*value] if isinstance(value, tuple) else value))
    except (TypeError, RecursionError):
        return NOTHING


def plain(value: Any) -> Any:
    """Return a value as JSON that is the same for equal values; TypeError for what JSON has no type for.

    True is 1 and 2.0 is 2; a tuple inside of the answer is no list; NumPy's scalars are numbers.
    """
    match value:
        case None:
            return None
        case str():
            return f"text {value}"
        case float() if not value.is_integer():
            return value.hex()
        case int() | float():
            return hex(int(value))
        case list():
            return [plain(item) for item in value]
        case tuple():
            return {"tuple": [plain(item) for item in value]}
        case dict():
            return {"dict": sorted([json.dumps(plain(key)), plain(item)] for key, item in value.items())}
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return plain(value.item())
    raise TypeError


def digest(value: Any) -> str:
    """Return the digest of JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:DIGEST]


def beginning(output: Any) -> str:
    """Return an output as it is shown: plain characters, at most HEAD of them."""
    text = output.strip() if isinstance(output, str) else reprlib.repr(output)
    return text[:HEAD].encode("ascii", "backslashreplace").decode()[:HEAD]
