"""What solutions cost: instructions where the kernel counts them, else processor time, measured beside the ladder.

Every solution and reference is a program of its own in one box, so that none can touch another's measurement, one at a
time and in an order drawn anew each round; rounds go on until the order is stable. A call is measured from a fresh
start, as EvalPerf does, and its answer must be the fastest reference's (EvalPerf does not look at it).

Instructions are counted from outside: the counter is opened by the study's process, which the box then inherits, and so
the box's filter of system calls stays as it is. What a program needs besides its call is counted likewise, without the
call, and subtracted. Processor time is read inside the program, as it is too coarse from outside; what all processes of
the program have used, seen from outside, is then its lower bound: time that a program hides (in a child process, or by
reporting less) is added to its cost.
"""

import ctypes
import math
import os
import platform
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Any, NamedTuple, Self

from lib.core.records import Journal, Record, content_id
from lib.evaluate.answers import unused, with_own_function
from lib.evaluate.benchmarks.evalplus import IMPORTS, apart_code, sources
from lib.evaluate.oracles.calls import FILE
from lib.sandbox import Limits, check, time_scale
from lib.sandbox.box import Box, BoxDied
from lib.sandbox.tiers import working

LIMIT_SECONDS = 45.0  # of a call, evalplus/config.py (PERF_EVAL_TIMEOUT_SECOND)
REFERENCE_SECONDS = 15.0  # besides, for reading the input and leaving the answer
LIMITS = Limits(cpu_seconds=LIMIT_SECONDS + REFERENCE_SECONDS, memory_mb=4096, output_kb=1024, packages=("numpy",))
TIME, INSTRUCTIONS = "processor time", "instructions"
# Share by which costs that count as equal may differ: what is left of the noise in the median of several rounds.
TOLERANCES = {TIME: 0.05, INSTRUCTIONS: 0.01}
CALLS, ENOUGH_SECONDS = 5, 0.04  # a program repeats a call until one of the two is reached
LEAST, MOST, QUIET = 3, 8, 2  # rounds: at least, at most, and those in a row whose order must be the same
NEAR = 1.5  # costs that differ by a factor of less are measured again
LONG_SECONDS = 0.5  # a call that takes longer is measured often enough by itself
HIDDEN_SECONDS = 0.06  # by which what a program needs besides its calls may exceed what references need
ALL = 1e9  # of seconds: no such limit
# perf_event_open(2): its number by architecture, and of the struct of version 0 (64 bytes) type, size and event.
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
HARDWARE, ATTRIBUTE_BYTES, COUNT_INSTRUCTIONS = 0, 64, 1
# Bits: disabled (0), inherit (1), exclude_kernel (5), exclude_hv (6), enable_on_exec (12).
FLAGS = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 12
CLOSE_ON_EXEC = 8
TESTS = """\
def {graded}(answer):
    {imports}
    for name, text in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        builtins.exec(text, module.__dict__)
    found = module.run(answer, {job!r}, {given}, {report}.scale)
    {report}.store(found)
    return found["status"] == "pass"
assert {graded}({entry})
"""
COMPARED = """\
assert oracle.run_once({job!r}, given, answers)
"""


class Cost(NamedTuple):
    """What one call costs, in seconds or instructions; None, and why, when the program has none."""

    value: float | None
    why: str = ""


@dataclass
class Item:
    """One program and what each round saw of it: the mean of its calls, and what it needed besides them.

    The median of the rounds counts: on a busy virtual machine processor time may stand still for a moment, so that the
    least is not the best of them.
    """

    code: str
    trusted: bool = False
    calls: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    why: str = ""

    @property
    def call(self) -> float:
        """The cost of a call, infinite while it is not known."""
        return median(self.calls) if self.calls else math.inf

    @property
    def beside(self) -> float:
        """What the program needs besides its calls."""
        return median(self.others) if self.others else math.inf

    def heard(self, call: float, beside: float = 0.0) -> None:
        """Keep what a round saw."""
        self.calls.append(call)
        self.others.append(beside)

    def cost(self, usual: float) -> Cost:
        """Return the cost, with the time that is hidden; `usual` is what references need besides their calls."""
        if self.why:
            return Cost(None, self.why)
        return Cost(self.call + max(0.0, self.beside - usual - HIDDEN_SECONDS))


def counter() -> int | None:
    """Return a descriptor that counts the instructions of processes which this thread starts from now on.

    None where the kernel has no counter, or not for this user (/proc/sys/kernel/perf_event_paranoid above 2).
    """
    number = PERF_EVENT_OPEN.get(platform.machine())
    if number is None or os.uname().sysname != "Linux":
        return None
    words = (ctypes.c_uint64 * (ATTRIBUTE_BYTES // 8))()
    words[0], words[1], words[5] = HARDWARE | ATTRIBUTE_BYTES << 32, COUNT_INSTRUCTIONS, FLAGS
    fd = ctypes.CDLL(None, use_errno=True).syscall(number, ctypes.byref(words), 0, -1, -1, CLOSE_ON_EXEC)
    return fd if fd >= 0 else None


@dataclass
class Bench:
    """One box, in which programs run one after the other, and the counter, if there is one, for all that runs in it."""

    fd: int | None = field(default_factory=counter)
    box: Box | None = None

    @property
    def kind(self) -> str:
        """What costs are: INSTRUCTIONS or TIME."""
        return TIME if self.fd is None else INSTRUCTIONS

    def run(self, program: Record) -> tuple[Record, int]:
        """Return the sandbox's answer for a program, and the instructions counted meanwhile (0 without a counter)."""
        for _ in range(2):
            if self.box is None:
                self.box = working()[0](LIMITS, time_scale())
            before = self.counted()
            try:
                answer = self.box.run(program)
            except BoxDied:
                self.close()
                continue
            counted = self.counted() - before
            if self.box.dirty:
                self.close()
            return answer, counted
        return {
            "verdict": "error",
            "detail": "ended the sandbox that it ran in",
            "report": None,
            "cpu_seconds": 0.0,
            "left": {FILE: None},
        }, 0

    def counted(self) -> int:
        """Return what the counter shows."""
        return 0 if self.fd is None else int.from_bytes(os.read(self.fd, 8), "little")

    def close(self) -> None:
        """End the box; the next program gets a new one."""
        if self.box is not None:
            self.box.close()
        self.box = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def program(code: str, job: Record, given: Any) -> Record:
    """Return the program that calls a solution on its input (`lib.evaluate.oracles.evalperf.run` says what `job` has).

    `given` is the packed input, as text or by reference.
    """
    graded, report, name = (unused(word, code) for word in ("_graded", "_report", "_given"))
    files = sources("calls", "evalperf")
    job = {name: value for name, value in job.items() if name not in ("fastest", "atol")} | {"code": code}
    words = {"graded": graded, "report": report, "given": name, "entry": job["entry"]}
    return {
        "code": with_own_function(code, job["entry"]),
        "tests": TESTS.format(imports=IMPORTS, sources=files, job=job, **words),
        "report": report, "data": {name: given}, "keep": [FILE],
    }  # fmt: skip


def timed(bench: Bench, item: Item, job: Record, given: Any) -> None:
    """Measure the processor time of an item once more: the mean of its calls."""
    how = {"calls": CALLS, "enough": ENOUGH_SECONDS, "check": True}
    answer, _ = bench.run(program(item.code, job | how, given))
    item.why = reason(answer) or another(bench, answer, job, given)
    match answer:
        case {"report": {"calls": int(calls), "seconds": float(seconds)}} if not item.why:
            if 0 < calls <= CALLS and 0 <= seconds < math.inf:
                item.heard(seconds / calls, answer["cpu_seconds"] - seconds)
                return
    item.why = item.why or "reported no time"


def counted(bench: Bench, item: Item, job: Record, given: Any) -> None:
    """Count the instructions of an item's call: those of the program with it, less those without it.

    The first time its answer is checked before, in a program that is not counted.
    """
    if not item.calls:
        answer, _ = bench.run(program(item.code, job | {"calls": 1, "enough": ALL, "check": True}, given))
        if why := reason(answer) or another(bench, answer, job, given):
            item.why = why
            return
    numbers = []
    for calls in (1, 0):
        answer, number = bench.run(program(item.code, job | {"calls": calls, "enough": ALL, "check": False}, given))
        if why := reason(answer):
            item.why = why
            return
        numbers.append(number)
    item.heard(max(0, numbers[0] - numbers[1]))


def another(bench: Bench, answer: Record, job: Record, given: Any) -> str:
    """Return why the answer that a program has left is not the fastest reference's, "" when it is.

    It is compared in a program apart from that of the solution.
    """
    if (left := answer["left"][FILE]) is None:
        return "left no answer"
    judge = {"code": apart_code(), "tests": COMPARED.format(job=job), "data": {"given": given, "answers": left}}
    seen, _ = bench.run(judge)
    return "" if seen["verdict"] == "pass" else "another answer than the fastest reference's"


def reason(answer: Record) -> str:
    """Return why a program has no cost, in one line; "" when it came to its end."""
    match answer:
        case {"verdict": "pass"}:
            return ""
        case {"verdict": "fail", "report": {"why": str(why)}} if why:
            return why[:200]
    return answer["detail"] or "reported no time"


def near(item: Item, items: Sequence[Item]) -> bool:
    """Whether another item's cost is so close that measuring again could change which of the two is less."""
    others = (one.call for one in items if one is not item and not one.why)
    return any(call <= item.call * NEAR and item.call <= call * NEAR for call in others)


def measure(
    bench: Bench, items: Sequence[Item], job: Record, given: Any, order: Callable[[list[Cost]], Hashable]
) -> list[Cost]:
    """Return the costs of programs for one task, measured in rounds until `order` of them no longer changes.

    All are measured in the first LEAST rounds, but for those that took long and have none near them, which are measured
    once; later, only those that have another near them.
    """
    look, orders, costs = timed if bench.kind == TIME else counted, list[Hashable](), list[Cost]()
    long = LONG_SECONDS if bench.kind == TIME else 0
    for number in range(MOST):
        again = [
            item
            for item in items
            if not item.why and (not number or near(item, items) or (number < LEAST and item.call < long))
        ]
        for item in random.Random(number).sample(again, len(again)):
            look(bench, item, job, given)
        costs = costs_of(items)
        orders.append(order(costs))
        if not again or (number + 1 >= LEAST and len(set(orders[-QUIET:])) == 1):
            break
    return costs


def costs_of(items: Sequence[Item]) -> list[Cost]:
    """Return the costs of items from what was seen of them so far."""
    usual = max((item.beside for item in items if item.trusted and not item.why), default=math.inf)
    return [item.cost(usual) for item in items]


def measure_task(
    bench: Bench,
    journal: Journal | None,
    solutions: Sequence[str],
    references: Sequence[str],
    job: Record,
    given: Any,
    order: Callable[[list[Cost]], Hashable],
) -> list[Cost]:
    """Return the costs of solutions and then of references; with a journal, what is in it is not measured again."""
    how = [
        bench.kind,
        LEAST,
        MOST,
        QUIET,
        CALLS,
        ENOUGH_SECONDS,
        check(),
        sources("calls", "evalperf", "evalplus"),
    ]
    key = content_id("cost", [*solutions], [*references], job, given, how)
    if journal is not None and key in journal:
        return [Cost(*one) for one in journal[key]["costs"]]
    items = [*(Item(code) for code in solutions), *(Item(code, True) for code in references)]
    costs = measure(bench, items, job, given, order)
    if journal is not None:
        journal.add({"id": key, "costs": [[*cost] for cost in costs]})
    return costs
