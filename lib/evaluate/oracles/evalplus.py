"""Calls a solution inside the box and compares its answers with a reference's.

`lib.evaluate.benchmarks.evalplus` sends this text.

The rules are those of evalplus 0.3.1 (evalplus/eval), in our own words, with the faults mended that
`lib.evaluate.benchmarks.evalplus` names. Standard library and numpy only.
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
Judge = Callable[[str | None, float], Callable[[Any, Any, Any], bool]]
Rule = Callable[[tuple[Any, ...], Any, Any, float], Any]  # (arguments, answer, expected, tolerance) -> whether it holds


class Wrong(Exception):
    """An answer is not the expected one, or there is none."""


class Broken(Exception):
    """The reference itself failed here."""


class Late(BaseException):
    """A call took longer than it may; no `except Exception` of a solution catches it."""


class Silence(io.TextIOBase):
    """Takes what is printed, keeps nothing."""

    def write(self, text: str, /) -> int:
        return len(text)


def pack(job: dict[str, Any]) -> str:
    """Return a job as text; what it holds comes back with its types: tuples, sets, complex numbers, infinity."""
    return base64.b85encode(zlib.compress(marshal.dumps(job))).decode()


def run(answer: Callable[..., Any], packed: str, judge: Judge) -> int:
    """Call `answer` on every input of a job (`lib.evaluate.benchmarks.evalplus.program`); return their number.

    The first wrong answer ends it.
    Raises Wrong or Late, which say the number of the input, or Broken.
    """
    job = marshal.loads(zlib.decompress(base64.b85decode(packed)))
    # The sandbox stretches its limits with the machine's speed: what it gave this process says by how much.
    scale = (resource.getrlimit(resource.RLIMIT_CPU)[1] - 1) / job["seconds"]
    with contextlib.redirect_stdout(Silence()), contextlib.redirect_stderr(Silence()):
        expected = reference(job, job["floor"] * scale)
        holds = judge(job["rule"], job["atol"])
        for number, (given, (wanted, limit)) in enumerate(zip(arguments(job), expected, strict=True)):
            untouched = given if job["rule"] is None else arguments(job, number)[0]
            try:
                got = called(answer, given, limit)
                if crafted(got):
                    raise Wrong("the answer's own class decides what it equals")
                if not holds(untouched, got, wanted):
                    raise Wrong(f"{got!r:.80} is not {wanted!r:.80}")
            except Late:
                raise Late(f"input {number}: not finished within {limit / scale:.1f} s") from None
            except BaseException as error:
                told = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error!s:.100}"
                raise Wrong(f"input {number}: {told}") from None
    return len(expected)


def arguments(job: dict[str, Any], only: int | None = None) -> list[Any]:
    """Return new copies of a job's inputs (of one, when its number is given), each the arguments of one call."""
    inputs = marshal.loads(job["inputs"])
    inputs = inputs if only is None else inputs[only : only + 1]
    return [eval(f"[{given}]", {}) for given in inputs] if job["written"] else inputs


def reference(job: dict[str, Any], floor: float) -> list[tuple[Any, float]]:
    """Return (expected answer, processor seconds a call may take) for every input, from the benchmark's own solution.

    Timed here and now, so that a limit fits the machine as it is.
    """
    space: dict[str, Any] = {}
    found = []
    try:
        exec(job["reference"], space)
        for given in arguments(job):
            start = time.process_time()
            wanted = space[job["entry"]](*given)
            limit = max(floor, job["factor"] * (time.process_time() - start))
            found.append((wanted is not None if job["rule"] in NOT_NONE else wanted, limit))
    except Exception as error:
        raise Broken(f"the reference fails: {type(error).__name__}: {error!s:.100}") from None
    return found


def stalled() -> float:
    """Return the seconds, since it began, for which this process got no core: a busy machine is not its fault."""
    try:
        return int(pathlib.Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def called(answer: Callable[..., Any], given: Iterable[Any], limit: float) -> Any:
    """Return one answer; Late when it took more than `limit` processor seconds, or the clock says that it waits.

    What does not let itself be interrupted is killed by the kernel a second or two later.
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
    """Whether an object in an answer has an __eq__ that the solution wrote: it could equal anything."""
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


def judge(name: str | None, tolerance: float) -> Callable[[Any, Any, Any], bool]:
    """Return EvalPlus's comparison: equal by the task's rule, or of one type and numerically close.

    Once an expected value was a float, the tolerance stays for the inputs after it.
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
    """Return the sum of the differences of the digits of two numbers, right-aligned (Mbpp/558 does something else)."""
    texts = str(first), str(second)
    width = max(map(len, texts))
    return sum(abs(int(a) - int(b)) for a, b in zip(*(text.zfill(width) for text in texts), strict=True))


def there(got: Any) -> bool:
    """Return a truth value as it is, of anything else whether it is not None."""
    return got if isinstance(got, bool) else got is not None


# Functions whose answer needs only to be there or not (match objects), and those whose answer is a set of values.
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
    **dict.fromkeys(NOT_NONE, lambda given, got, wanted, atol: there(got) == wanted),
}
