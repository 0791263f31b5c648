"""Calls a solution inside the box, each call with a limit of time, and leaves its answers in a file.

`lib.evaluate.benchmarks` sends this module's source for EvalPlus's tasks, EvalPerf and LiveCodeBench. No expected
answer comes into this process: the file is read in another (`lib.evaluate.oracles.evalplus`), where the solution has
never been. Standard library only.
"""

import base64
import contextlib
import hashlib
import io
import marshal
import math
import os
import pickle
import resource
import signal
import struct
import time
import zlib
from collections.abc import Callable, ItemsView, Iterable, KeysView
from typing import Any

FILE = "answers"
HEADER = struct.Struct(">I")  # before each answer: its bytes
ROOM, LARGE = 3 << 20, 1 << 16  # bytes of all answers, and of one; the sandbox hands on 4 MiB (lib.sandbox.desk)
PLAIN = frozenset({int, str, bytes, type(None)})
BUILTIN = (str, bytes, int, float, complex, tuple, list, dict, set, frozenset)
# Functions whose answer is compared only with None (match objects), and those whose answer is a set of values.
NOT_NONE = frozenset({"check_str", "text_match_three", "text_starta_endb"})
AS_SETS = (
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
)  # fmt: skip


class Late(BaseException):
    """A call took longer than it may; no `except Exception` of a solution catches it."""


class Silence(io.TextIOBase):
    """Discards what is printed."""

    def write(self, text: str, /) -> int:
        return len(text)


def pack(inputs: list[Any]) -> str:
    """Return inputs as text; they come back with types that JSON does not have: tuples, sets, complex numbers."""
    return base64.b85encode(zlib.compress(marshal.dumps(inputs))).decode()


def arguments(job: dict[str, Any], only: int | None = None) -> list[Any]:
    """Return new copies of a job's inputs (of one, when its number is given), each the arguments of one call."""
    inputs = marshal.loads(zlib.decompress(base64.b85decode(job["inputs"])))
    inputs = inputs if only is None else inputs[only : only + 1]
    return [eval(f"[{given}]", {}) for given in inputs] if job["written"] else inputs


def run(answer: Callable[..., Any], job: dict[str, Any], scale: float) -> dict[str, Any]:
    """Call `answer` on the inputs of a job, up to the first that fails or takes too long; leave the answers in FILE.

    `job` has inputs (packed), written (whether each is source text), rule (the name of the comparison's, or None),
    limit (the processor seconds of a call) and slow (those of some inputs, by number); seconds are multiplied by
    `scale`, the machine's. Returns status (ended, late or failed), input (the last one's number, or None) and why.
    """
    with (
        contextlib.redirect_stdout(Silence()),
        contextlib.redirect_stderr(Silence()),
        open(os.path.join(os.environ["HOME"], FILE), "wb", buffering=0) as file,
    ):
        for number, given in enumerate(arguments(job)):
            limit = job["slow"].get(str(number), job["limit"])
            try:
                got = called(answer, given, limit * scale)
                data = sent(got, job["rule"], min(LARGE, ROOM - file.tell()))
                file.write(HEADER.pack(len(data)) + data)
            except Late:
                return ended("late", number, f"not finished within {limit:.1f} s")
            except BaseException as error:
                return ended("failed", number, f"{type(error).__name__}: {error!s:.100}")
    return ended("ended", None, "")


def ended(status: str, number: int | None, why: str, **more: Any) -> dict[str, Any]:
    """Return what is reported, `why` in one line."""
    return {"status": status, "input": number, "why": " ".join(why.split())[:200], **more}


def stalled() -> float:
    """Return the seconds since its start for which this process was runnable without a core."""
    try:
        with open("/proc/self/schedstat", "rb", buffering=0) as file:  # before every call, so it is kept short
            return int(file.read(64).split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def called(answer: Callable[..., Any], given: Iterable[Any], limit: float) -> Any:
    """Return one answer; Late when it took more than `limit` processor seconds, or too long by the clock.

    Code that cannot be interrupted is killed by the kernel a second or two later.
    """
    start, began, waited = time.process_time(), time.monotonic(), stalled()
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    clock = 3 * limit + 0.5  # as `lib.sandbox.Limits.wall_seconds`

    def late(number: int, _: object) -> None:
        if number == signal.SIGALRM and time.monotonic() - began - (stalled() - waited) < clock:
            signal.setitimer(signal.ITIMER_REAL, clock)
            return
        raise Late

    signal.signal(signal.SIGPROF, late)
    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_CPU, (min(math.ceil(start + limit) + 1, hard), hard))
    try:
        signal.setitimer(signal.ITIMER_PROF, limit)
        signal.setitimer(signal.ITIMER_REAL, clock)
        got = answer(*given)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    if time.process_time() - start > limit:
        raise Late
    return got


# ---- answers as they are sent


class Full(Exception):
    """An answer needs more room than there is."""


class Room(io.BytesIO):
    """Holds so many bytes; Full when there are more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.room:
            raise Full
        return super().write(data)


class Sender(pickle.Pickler):
    """Pickles answers; one of a class made from a builtin type, say a named tuple, as that type, which it can equal."""

    def reducer_override(self, value: Any) -> Any:
        """Return how pickle makes the value again, NotImplemented for its own way."""
        if isinstance(value, KeysView | ItemsView):
            return set, (set(value),)
        base: Any = next((one for one in BUILTIN if isinstance(value, one)), None)
        if base in (None, type(value)) or type(value).__module__ == "numpy":
            return NotImplemented
        # str(...) of an enum's member is its name
        return base, (str.__str__(value) if base is str else base(value),)  # pyright: ignore[reportArgumentType]


def sent(value: Any, rule: str | None, room: int) -> bytes:
    """Return an answer in about `room` bytes, pickled with its kind: "value", "digest" or "unsent" (its type's name).

    Of one that needs more, and has no rule of comparison, only the digest is sent. What no pickle can hold, say a
    generator, equals no expected value, but is not None either.
    """
    if rule in NOT_NONE:
        value = truth(value)
    elif rule in AS_SETS:
        value = set(value)
    buffer = Room(room if rule is None else ROOM)
    try:
        try:
            Sender(buffer).dump(("value", value))
            return buffer.getvalue()
        except Full:
            if rule is None:
                return pickle.dumps(("digest", digest(value)))
    except BaseException:
        pass
    return pickle.dumps(("unsent", type(value).__name__))


def truth(got: Any) -> bool:
    """Return a truth value unchanged; for anything else, whether it is not None."""
    return got if isinstance(got, bool) else got is not None


def digest(value: Any) -> str:
    """Return the digest of a large answer: the same for a dictionary in any order, and for 1, 1.0 and True.

    ValueError for other types than builtin ones. Of numbers and dictionaries inside the items of a list only those of
    the same type and order have the same digest, and a tolerance applies to none.
    """
    if type(value) is dict:
        value = sorted((marshal.dumps(even(key), 2), even(of)) for key, of in value.items())
    elif type(value) in (list, tuple) and not PLAIN.issuperset(map(type, value)):
        value = type(value)(map(even, value))
    return hashlib.sha256(marshal.dumps(even(value), 2)).hexdigest()  # version 2 has no references: equal, equal bytes


def even(value: Any) -> Any:
    """Return a number as the integer that it equals, if it does; ValueError for what is of no builtin type."""
    if type(value) in (float, bool) and value % 1 == 0:
        return int(value)
    if type(value) not in (*PLAIN, *BUILTIN, bool):
        raise ValueError
    return value
