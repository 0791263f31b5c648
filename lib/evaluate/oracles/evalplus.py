"""Calls a solution inside the box and compares its answers with a reference's.

`lib.evaluate.benchmarks.evalplus` sends this module's source. The rules are those of evalplus 0.3.1 (evalplus/eval),
reimplemented without the faults that are listed there. Standard library and numpy only.
"""

import base64
import contextlib
import io
import marshal
import math
import pathlib
import resource
import signal
import time
import zlib
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import numpy as np

SCALARS = frozenset({bool, int, float, complex, str, bytes, type(None)})
Comparison = Callable[[str | None, float], Callable[[Any, Any, Any], bool]]
Rule = Callable[[tuple[Any, ...], Any, Any, float], Any]  # (arguments, answer, expected, tolerance) -> whether it holds


class Late(BaseException):
    """A call took longer than it may; no `except Exception` of a solution catches it."""


class Silence(io.TextIOBase):
    """Discards what is printed."""

    def write(self, text: str, /) -> int:
        return len(text)


def pack(inputs: list[Any]) -> str:
    """Return inputs as text; they come back with types that JSON does not have: tuples, sets, complex numbers."""
    return base64.b85encode(zlib.compress(marshal.dumps(inputs))).decode()


def run(answer: Callable[..., Any], job: dict[str, Any], compare: Comparison, scale: float) -> dict[str, Any]:
    """Call `answer` on the inputs of a job (`lib.evaluate.benchmarks.evalplus.program`) up to the first wrong answer.

    Times are multiplied by `scale`, the machine's. Returns status (pass, fail or timeout; broken when the reference
    itself failed), input (the number of the failing one, or None) and why.
    """
    with contextlib.redirect_stdout(Silence()), contextlib.redirect_stderr(Silence()):
        try:
            expected = reference(job, job["floor"] * scale)
        except Exception as error:
            return ended("broken", None, f"the reference fails: {type(error).__name__}: {error!s:.100}")
        holds = compare(job["rule"], job["atol"])
        for number, (given, (wanted, limit)) in enumerate(zip(arguments(job), expected, strict=True)):
            untouched = given if job["rule"] is None else arguments(job, number)[0]
            try:
                got = called(answer, given, limit)
                if crafted(got):
                    return ended("fail", number, "the answer's own class decides what it equals")
                if not holds(untouched, got, wanted):
                    return ended("fail", number, f"{got!r:.80} is not {wanted!r:.80}")
            except Late:
                return ended("timeout", number, f"not finished within {limit / scale:.1f} s")
            except BaseException as error:
                return ended("fail", number, f"{type(error).__name__}: {error!s:.100}")
    return ended("pass", None, "")


def ended(status: str, number: int | None, why: str) -> dict[str, Any]:
    """Return what is reported, `why` in one line."""
    return {"status": status, "input": number, "why": " ".join(why.split())[:200]}


def arguments(job: dict[str, Any], only: int | None = None) -> list[Any]:
    """Return new copies of a job's inputs (of one, when its number is given), each the arguments of one call."""
    inputs = marshal.loads(zlib.decompress(base64.b85decode(job["inputs"])))
    inputs = inputs if only is None else inputs[only : only + 1]
    return [eval(f"[{given}]", {}) for given in inputs] if job["written"] else inputs


def reference(job: dict[str, Any], floor: float) -> list[tuple[Any, float]]:
    """Return (expected answer, processor seconds a call may take) for every input, from the benchmark's own solution.

    Timed here and now, so that a limit fits the machine as it is.
    """
    space: dict[str, Any] = {}
    found = []
    exec(job["reference"], space)
    for given in arguments(job):
        start = time.process_time()
        wanted = space[job["entry"]](*given)
        limit = max(floor, job["factor"] * (time.process_time() - start))
        found.append((wanted is not None if job["rule"] in NOT_NONE else wanted, limit))
    return found


def stalled() -> float:
    """Return the seconds since its start for which this process was runnable without a core."""
    try:
        return int(pathlib.Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def called(answer: Callable[..., Any], given: Iterable[Any], limit: float) -> Any:
    """Return one answer; Late when it took more than `limit` processor seconds, or too long by the clock.

    Code that cannot be interrupted is killed by the kernel a second or two later.
    """
    start, began, waited = time.process_time(), time.monotonic(), stalled()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
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
    if time.process_time() - start > limit:
        raise Late
    return got


def crafted(value: Any) -> bool:
    """Whether an object in an answer has an __eq__ that the solution defines: it could equal anything."""
    own = (vars(base).get("__eq__") for base in type(value).__mro__)
    if any(isinstance(method, FunctionType) and method.__code__.co_filename == "<response>" for method in own):
        return True
    if isinstance(value, dict):
        return crafted([*value]) or crafted([*value.values()])
    if isinstance(value, list | tuple | set | frozenset):
        return not SCALARS.issuperset(map(type, value)) and any(map(crafted, value))
    return False


def floats(value: Any) -> bool:
    """Whether a tolerance applies to an expected value although the task names none."""
    several = isinstance(value, list | tuple) and len(value) > 0
    return all(isinstance(one, float) for one in value) if several else isinstance(value, float)


def comparison(name: str | None, tolerance: float) -> Callable[[Any, Any, Any], bool]:
    """Return EvalPlus's comparison: equal by the task's rule, or of the same type and numerically close.

    Once an expected value is a float, the tolerance also applies to all later inputs.
    """
    atol = tolerance

    def holds(given: tuple[Any, ...], got: Any, wanted: Any) -> bool:
        nonlocal atol
        if name == "find_zero":
            return bool(abs(polynomial(given[0], got)) <= atol)
        exact = RULES[name](given, got, wanted, atol) if name in RULES else got == wanted
        if not atol and floats(wanted):
            atol = 1e-6
        if exact or not atol:
            return bool(exact)
        if type(got) is not type(wanted) or (isinstance(wanted, list | tuple) and len(got) != len(wanted)):
            return False
        return bool(np.allclose(got, wanted, rtol=1e-7, atol=atol))

    return holds


def polynomial(coefficients: list[float], x: float) -> float:
    """Return the value at x of the polynomial with these coefficients, the constant one first."""
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def pyramid(base: float, height: float) -> int:
    """Return the rounded surface of a square pyramid, with `height` up to its apex (Mbpp/581 has the slant height)."""
    return round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))


def digit_distance(first: int, second: int) -> int:
    """Return the sum of the differences of the digits of two numbers, right-aligned (Mbpp/558 differs)."""
    texts = str(first), str(second)
    width = max(map(len, texts))
    return sum(abs(int(a) - int(b)) for a, b in zip(*(text.zfill(width) for text in texts), strict=True))


def truth(got: Any) -> bool:
    """Return a truth value unchanged; for anything else, whether it is not None."""
    return got if isinstance(got, bool) else got is not None


# Functions whose answer is compared only with None (match objects), and those whose answer is a set of values.
NOT_NONE = frozenset({"check_str", "text_match_three", "text_starta_endb"})
AS_SETS = (
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
)  # fmt: skip
RULES: dict[str | None, Rule] = {
    "are_equivalent": lambda given, got, wanted, atol: True,  # Mbpp/164: the reference is wrong
    "sum_div": lambda given, got, wanted, atol: got in (wanted, 0),  # Mbpp/295
    "surface_Area": lambda given, got, wanted, atol: got == wanted or abs(got - pyramid(*given)) <= atol,
    "digit_distance_nums": lambda given, got, wanted, atol: got == wanted or got == digit_distance(*given),
    **dict.fromkeys(AS_SETS, lambda given, got, wanted, atol: set(got) == set(wanted)),
    **dict.fromkeys(NOT_NONE, lambda given, got, wanted, atol: truth(got) == wanted),
}
