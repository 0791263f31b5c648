"""Compares the answers that a solution has left with a reference's, in a process where the solution has never been.

`lib.evaluate.benchmarks.evalplus` sends this module's source after that of `calls`. The rules are those of evalplus
0.3.1 (evalplus/eval), reimplemented without the faults that are listed there. Standard library and numpy only.
"""

import base64
import contextlib
import io
import marshal
import math
import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lib.evaluate.oracles.calls import AS_SETS, HEADER, NOT_NONE, Silence, arguments, digest, ended, truth

FACTOR = 4.0  # times the reference's time that a call may take (evalplus/config.py)
Rule = Callable[[tuple[Any, ...], Any, Any, float], Any]  # (arguments, answer, expected, tolerance) -> whether it holds
Holds = Callable[[Any, Any, Any], bool]  # (arguments, answer, expected)
Comparison = Callable[[str | None, float], Holds]  # (name of a rule, tolerance)


# What an answer's pickle may name, and so call, by module: types that hold values, and what makes numpy's.
BUILTINS = "complex range slice bytearray set frozenset list tuple dict str int float bytes"
DATES = "date datetime time timedelta timezone"
ALLOWED = {
    "builtins": BUILTINS, "collections": "deque", "datetime": DATES, "decimal": "Decimal", "fractions": "Fraction",
    "numpy": "dtype ndarray", "numpy._core.multiarray": "_reconstruct scalar", "numpy._core.numeric": "_frombuffer",
}  # fmt: skip


class Answer(pickle.Unpickler):
    """Reads an answer, which an untrusted process has sent: nothing but ALLOWED is found in it, and so called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what is allowed; UnpicklingError for the rest."""
        if name not in ALLOWED.get(module, "").split():
            raise pickle.UnpicklingError(f"is of {module}.{name}")
        return super().find_class(module, name)


class Unsent:
    """An answer of a type that cannot be sent: it equals nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"a {self.kind}"


def run(job: dict[str, Any], left: str, compare: Comparison, scale: float) -> dict[str, Any]:
    """Compare the answers in a file of `lib.evaluate.oracles.calls` (base64) with a reference's, up to a wrong one.

    `job` is that of `calls.run`, with reference (a program), entry (its function) and atol. Returns status (pass; fail;
    missing: there is no answer to an input; broken: the reference itself failed), input (that input's number, or
    None), why, and for a missing answer slow: FACTOR times the reference's own seconds, by number, for the inputs for
    which that is more than the job's limit; `scale` is the machine's.
    """
    answers, holds, slow, missing = read(left), compare(job["rule"], job["atol"]), dict[str, float](), None
    with contextlib.redirect_stdout(Silence()), contextlib.redirect_stderr(Silence()):
        try:
            space = executed(job["reference"])
            for number, given in enumerate(arguments(job)):
                start = time.process_time()
                wanted = space[job["entry"]](*given)
                if (seconds := FACTOR * (time.process_time() - start) / scale) > job["limit"]:
                    slow[str(number)] = math.ceil(10 * seconds) / 10
                if missing is not None:
                    continue  # only timed
                if (data := next(answers, None)) is None:
                    missing = number
                    continue
                untouched = given if job["rule"] is None else arguments(job, number)[0]
                if why := difference(data, untouched, expected(wanted, job["rule"]), holds):
                    return ended("fail", number, why)
        except Exception as error:
            return ended("broken", None, f"the reference fails: {type(error).__name__}: {error!s:.100}")
    return ended("pass", None, "") if missing is None else ended("missing", missing, "", slow=slow)


def executed(text: str) -> dict[str, Any]:
    """Return what a reference defines."""
    space: dict[str, Any] = {}
    exec(text, space)
    return space


def run_once(job: dict[str, Any], given: str, left: str) -> bool:
    """Whether the one answer in a file is that of EvalPerf's fastest reference for an input, by EvalPlus's rules.

    `job` and `given` are those of `lib.evaluate.oracles.evalperf.run`.
    """
    packed, space = zlib.decompress(base64.b64decode(given)), executed(job["fastest"])
    wanted = expected(space[job["entry"]](*marshal.loads(packed)), job["rule"])
    holds = comparison(job["rule"], job["atol"])
    return not any(difference(data, tuple(marshal.loads(packed)), wanted, holds) for data in [*read(left)] or [b""])


def expected(wanted: Any, rule: str | None) -> Any:
    """Return what a reference returned as the rule compares it."""
    return wanted is not None if rule in NOT_NONE else wanted


def read(left: str) -> Iterator[bytes]:
    """Yield the answers in a file, the last one only when it is whole."""
    file = io.BytesIO(base64.b64decode(left))
    while len(header := file.read(HEADER.size)) == HEADER.size:
        (size,) = HEADER.unpack(header)
        if len(data := file.read(size)) < size:
            return
        yield data


def difference(data: bytes, given: Any, wanted: Any, holds: Holds) -> str:
    """Return why a sent answer is not the expected value for the arguments `given`; "" when it is."""
    try:
        kind, got = Answer(io.BytesIO(data)).load()
        if kind == "digest":
            return "" if got == digest(wanted) else "another large answer"
        got = Unsent(got) if kind == "unsent" else got
        return "" if holds(given, got, wanted) else f"{got!r:.80} is not {wanted!r:.80}"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.100}"


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


RULES: dict[str | None, Rule] = {
    "are_equivalent": lambda given, got, wanted, atol: True,  # Mbpp/164: the reference is wrong
    "sum_div": lambda given, got, wanted, atol: got in (wanted, 0),  # Mbpp/295
    "surface_Area": lambda given, got, wanted, atol: got == wanted or abs(got - pyramid(*given)) <= atol,
    "digit_distance_nums": lambda given, got, wanted, atol: got == wanted or got == digit_distance(*given),
    **dict.fromkeys(AS_SETS, lambda given, got, wanted, atol: set(got) == set(wanted)),
    **dict.fromkeys(NOT_NONE, lambda given, got, wanted, atol: truth(got) == wanted),
}
