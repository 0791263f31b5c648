"""Runs untrusted programs and decides what their tests show; the only place of the study where a model's code runs.

Walls: bubblewrap namespaces (user, mount, PID, IPC, network), no capabilities, a system-call filter, a read-only view
of /usr and the interpreter, a small private /tmp, limits on time, memory, processes and output. Where namespaces are
forbidden, Landlock and a stricter filter (`lib.sandbox.landlock` says what they cannot do); the environment variable
STUDY_SANDBOX (bubblewrap or landlock) forces one of the two. Verdicts:

- `pass`: the harness saw the last test statement finish, at least one assertion ran that depends on the response, and
  none failed unheard;
- `fail`: a test raised; `error`: the response does not load, crashed, or flooded its output;
- `timeout`, `oom`: a limit was hit; `notest`: nothing that depends on the response was asserted;
- `cheat`: left before the end of its tests, hid the failure of one, or still "passes" when the expected values are
  changed (the control);
- `flaky`: passed, and did not when it was run again.

Time limits are processor time on the machine on which REFERENCE_SECONDS was measured: a program of our own is timed in
the box first, and all limits are stretched or shrunk with it. A timeout counts when the program, run again with nothing
beside it, hits the limit again (on Ray: nothing of its own task).

What this cannot see: answers written for the very tests, and a response that recognises the control by knowing the
right answers, which is the same thing, or by looking into the harness in its own process, which cannot be hidden from
it; tests that assert little (`lib.select.strength` measures that); a program that fails only now and then, when it did
not in two runs. What it cannot hold off: a fault of the kernel, and work that other processes of this machine notice
(the processor's caches, its heat).
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from queue import Empty, SimpleQueue
from random import SystemRandom
from threading import Condition, Lock

from lib.core.records import Journal, Lazy, Record, StudyError, content_id, file_sha256
from lib.sandbox.box import HERE, PARTS, Box, BoxDied, Limits
from lib.sandbox.tiers import REMEDY, Maker, working

__all__ = ["VERDICTS", "Limits", "check", "judge", "run_programs"]

VERDICTS = ("pass", "fail", "error", "timeout", "oom", "cheat", "notest", "flaky")
DEFAULT = Limits()
KNOWN = ("id", "code", "tests", "entry", "time", "report")
HARNESS = [HERE / part for part in PARTS]
# Plain Python as tested programs are: calls, strings, a dictionary, a sort. Timed in a box where the study was built.
REFERENCE = {
    "code": """
def f(n):
    counts = {}
    for number in range(n):
        for letter in str(number * 7919):
            counts[letter] = counts.get(letter, 0) + 1
    return sorted(counts.items(), key=lambda pair: pair[1])
""",
    "tests": "assert f(150_000)",
}
REFERENCE_SECONDS = 0.077
SCALES = (0.5, 10.0)  # a machine that seems faster or slower than this is measured wrongly


def check() -> str:
    """Probe the sandbox by using it (once a process) and return its tier: "bubblewrap 0.11.0", "landlock ABI 7".

    Raises StudyError with what to install when no sandbox works: there is no unsafe fallback.
    """
    return working()[1]


@cache
def scale() -> float:
    """How many times slower than where the study was built this machine runs plain Python; once a process."""
    box = working()[0](Limits(), 1.0)
    try:
        seconds = min(box.judge(REFERENCE)["cpu_seconds"] for _ in range(3))
    except BoxDied:
        raise StudyError(f"the sandbox ended while it was timed; try again, or {REMEDY}") from None
    finally:
        box.close()
    return round(min(max(seconds / REFERENCE_SECONDS, SCALES[0]), SCALES[1]), 2)


class _Lane:
    """Lets programs run side by side, or one with nothing beside it."""

    def __init__(self) -> None:
        self.changed, self.turn = Condition(), Lock()
        self.running, self.closed = 0, False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.closed)
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.turn:
            with self.changed:
                self.closed = True
                self.changed.wait_for(lambda: not self.running)
            try:
                yield
            finally:
                with self.changed:
                    self.closed = False
                    self.changed.notify_all()


class _Pool:
    """Boxes that are free; a box that a program left dirty is thrown away, never cleaned."""

    def __init__(self, make: Maker, limits: Limits, again: bool):
        self.make, self.limits, self.again = make, limits, again
        self.free: SimpleQueue[Box] = SimpleQueue()
        self.lane = _Lane()

    def once(self, program: Record, control: bool = False) -> Record:
        """Judge in a free box, or in a new one; a program that ends its box, and then a new one, is an error."""
        for free in (True, False):
            box = self.box(free)
            try:
                answer = box.judge(program, control)
            except BoxDied:
                box.close()
                continue
            except BaseException:
                box.close()
                raise
            if box.dirty:
                box.close()
            else:
                self.free.put(box)
            return answer
        usage = {"seconds": 0.0, "cpu_seconds": 0.0, "memory_mb": 0}
        return {"verdict": "error", "detail": "ended the sandbox that it ran in", **usage}

    def box(self, free: bool) -> Box:
        """One of the free boxes if there is any and `free` allows it, else a new one."""
        with suppress(Empty):
            if free:
                return self.free.get_nowait()
        return self.make(self.limits, scale())

    def fairly(self, program: Record, control: bool = False) -> Record:
        """Judge once; a timeout is tried again with nothing beside it."""
        with self.lane.shared():
            answer = self.once(program, control)
        if answer["verdict"] == "timeout":
            with self.lane.alone():
                answer = self.once(program, control)
        return answer

    def judge(self, program: Record) -> Record:
        """The verdict on one program: a pass is run again, as it is and as the control, in an order nobody foresees."""
        if not self.again:
            return self.once(program)
        answer = self.fairly(program)
        if answer["verdict"] == "pass":
            order = SystemRandom().sample((False, True), 2)
            found = {control: self.fairly(program, control)["verdict"] for control in order}
            if found[False] != "pass":
                answer |= {"verdict": "flaky", "detail": f"passed, and when run again: {found[False]}"}
            elif found[True] == "pass":
                answer |= {"verdict": "cheat", "detail": "also passes when the expected values are changed"}
        return answer


def run_programs(
    programs: Iterable[Record], limits: Limits = DEFAULT, workers: int | None = None, again: bool = True
) -> Generator[Record, None, None]:
    """Judge programs (id, code, tests, perhaps entry, time, report) in `workers` boxes, one per core by default.

    Yields {id, verdict, detail, seconds (by the clock), cpu_seconds, memory_mb (peak), tier} in input order as they
    come; reads `programs` only a little ahead. `entry` names the function that HumanEval's `check` is called with,
    `time` replaces the limit's processor seconds for this program.

    `report` is for tests that measure or grade: it names a variable under which they find `scale`, the factor by
    which all times are multiplied, and `store(value)`, which puts one JSON value (`lib.sandbox.cell.MAX_REPORT`,
    `lib.sandbox.harness.MAX_DEPTH`) into the answer as `report`; None when nothing was stored or the program did not
    reach an end of its own. The response runs in the same process and can store what it likes: a verdict never rests
    on a report, and a report must not turn another verdict into a pass.

    Without `again` every program runs once: no control, no second try of a pass or a timeout, for callers that compare
    answers and repeat by themselves. Closing the generator ends every box. Raises StudyError before anything runs when
    no sandbox works.
    """
    make, tier = working()
    scale()
    workers = workers or len(os.sched_getaffinity(0))
    pool = _Pool(make, limits, again)
    waiting: deque[tuple[str, Future[Record]]] = deque()
    source = iter(programs)
    with ThreadPoolExecutor(workers, "sandbox") as threads:
        try:
            while True:
                while len(waiting) < 4 * workers and (program := next(source, None)) is not None:
                    waiting.append((program["id"], threads.submit(pool.judge, program)))
                if not waiting:
                    return
                identity, verdict = waiting.popleft()
                yield {"id": identity, **verdict.result(), "tier": tier}
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
            while not pool.free.empty():
                pool.free.get_nowait().close()


def judge(
    programs: Sequence[Record],
    journal: Journal,
    limits: Limits = DEFAULT,
    workers: int | None = None,
    run: Callable[..., Iterable[Record]] = run_programs,
) -> Generator[Record, None, None]:
    """Like run_programs, but each verdict is stored in `journal` as it comes, and none is asked for twice.

    `run` does the work: run_programs here, or `lib.sandbox.ray_stage.run_on_ray` on a cluster.

    Programs may be many and a `Lazy`: none is kept, each is made once to be known and once more to be run.

    A verdict is known by the program's KNOWN fields, the limits, the sandbox's tier and code, and the packages'
    versions. Those found in the journal come first, then the new ones, in the order in which `run` gives them.
    """
    here = [asdict(limits), check(), *(version(name) for name in limits.packages), *map(file_sha256, HARNESS)]
    known = [(program["id"], content_id(*(program.get(key) for key in KNOWN), *here)) for program in programs]
    for identity, key in known:
        if key in journal:
            yield journal[key] | {"id": identity}
    keys = dict(known)
    missing = [place for place, (_, key) in enumerate(known) if key not in journal]
    for verdict in run(Lazy(missing, lambda place: programs[place]), limits, workers) if missing else ():
        journal.add(verdict | {"id": keys[verdict["id"]]})
        yield verdict
