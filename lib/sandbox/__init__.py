"""Runs untrusted programs and decides what their tests show; the only place of the study where a model's code runs.

A program is a *response* (untrusted code) and its *tests*. A *box* is a sandboxed interpreter that runs one program at
a time; inside it a trusted supervisor, the *harness*, forks a *cell*, the process in which response and tests run.

Isolation: bubblewrap with new user, mount, PID, IPC, UTS and network namespaces, no capabilities, a seccomp filter, a
read-only view of /usr and the interpreter, a private /tmp of bounded size; limits on time, memory, processes and
output. Where namespaces are forbidden, Landlock and a stricter filter (`lib.sandbox.landlock` lists what they cannot
do); the environment variable STUDY_SANDBOX (bubblewrap or landlock) forces one of the two. The verdict is one of

- `pass`: the harness saw the end of the tests, none failed, no failure was suppressed, and at least one assertion
  depends on the response: it fails when a stub stands in the response's place (`lib.sandbox.stubs`);
- `fail`: a test raised; `error`: the response does not load, crashed, or flooded its output;
- `timeout`, `oom`: a limit was hit; `notest`: nothing that depends on the response was asserted;
- `cheat`: exited before the end of its tests, suppressed a failure, or still passes when the expected values are
  changed (the control);
- `flaky`: passed, but not when it was run again.

A whole program, which has no tests, has none of `pass`, `notest` and `flaky`, but `ended` (`run_programs`).

Time limits are processor time on the machine where REFERENCE_SECONDS was measured: a reference program is timed in a
box first, and all limits are multiplied by the ratio. A timeout counts when the program hits the limit again in a
second run, alone (on Ray: alone in its task).

Not detected: hard-coded answers to these very tests; a response that recognises the control because it knows the right
answers (which is the same) or because it inspects the harness's state in its own process, which cannot be hidden from
it; tests that assert little (`lib.select.strength` measures that); a program that fails so rarely that two runs pass.
Not prevented: exploits of kernel bugs, and side channels between processes of one machine (caches, temperature).
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
from lib.sandbox.box import ANSWERED, HERE, PARTS, Box, BoxDied, Limits
from lib.sandbox.interpreters import installed
from lib.sandbox.materials import by_reference
from lib.sandbox.stubs import KINDS
from lib.sandbox.tiers import REMEDY, Maker, working

__all__ = ["VERDICTS", "Limits", "by_reference", "check", "run_with_journal", "run_programs"]

VERDICTS = ("pass", "fail", "error", "timeout", "oom", "cheat", "notest", "flaky")
DEFAULT = Limits()
FIELDS = ("id", "code", "tests", "entry", "time", "report")  # of a program: all that can change its verdict, with
FURTHER = ("stdin", "files", "data", "keep", "output", "apart")  # these, which few have
HARNESS = [HERE / part for part in PARTS]
# Plain Python, as the tested programs are: calls, strings, a dictionary, a sort.
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
REFERENCE_SECONDS = 0.077  # its processor time in a box on the machine where the study was built
SCALES = (0.5, 10.0)  # bounds of the time scale; a measurement outside is wrong


def check() -> str:
    """Probe the sandbox by using it (once per process) and return its tier: "bubblewrap 0.11.0", "landlock ABI 7".

    Raises StudyError that says what to install when no sandbox works: there is no unsafe fallback.
    """
    return working()[1]


@cache
def time_scale() -> float:
    """How many times slower this machine runs plain Python than the one of REFERENCE_SECONDS; once per process."""
    box = working()[0](Limits(), 1.0)
    try:
        seconds = min(box.run(REFERENCE)["cpu_seconds"] for _ in range(3))
    except BoxDied:
        raise StudyError(f"the sandbox ended while it was timed; try again, or {REMEDY}") from None
    finally:
        box.close()
    return round(min(max(seconds / REFERENCE_SECONDS, SCALES[0]), SCALES[1]), 2)


class _Lane:
    """Lets programs run side by side, or one alone."""

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
    """Idle boxes, used again; a box that a program left dirty is discarded, never cleaned."""

    def __init__(self, make: Maker, limits: Limits, again: bool, timeouts_again: bool):
        self.make, self.limits, self.again, self.timeouts_again = make, limits, again, again and timeouts_again
        self.idle: SimpleQueue[Box] = SimpleQueue()
        self.lane = _Lane()

    def once(self, program: Record, trial: str = "") -> Record:
        """Run in an idle box, else in a new one; a program that kills its box, and then a new one, is an error."""
        for idle in (True, False):
            box = self.box(idle)
            try:
                answer = box.run(program, trial)
            except BoxDied:
                box.close()
                continue
            except BaseException:
                box.close()
                raise
            if box.dirty:
                box.close()
            else:
                self.idle.put(box)
            return answer
        usage = {"seconds": 0.0, "cpu_seconds": 0.0, "memory_mb": 0}
        nothing = {"units": [], "ended": False, "checks": None}
        nothing |= {name: None for name, asked in ANSWERED.items() if program.get(asked) is not None}
        return {"verdict": "error", "detail": "ended the sandbox that it ran in", **nothing, **usage}

    def box(self, idle: bool) -> Box:
        """An idle box if there is one and `idle` allows it, else a new one."""
        with suppress(Empty):
            if idle:
                return self.idle.get_nowait()
        return self.make(self.limits, time_scale())

    def with_retry(self, program: Record, trial: str = "", retry: bool = True) -> Record:
        """Run once; after a timeout, unless no `retry` is wanted, once more, alone."""
        with self.lane.shared():
            answer = self.once(program, trial)
        if retry and answer["verdict"] == "timeout":
            with self.lane.alone():
                answer = self.once(program, trial)
        return answer

    def verdict(self, program: Record) -> Record:
        """The verdict on one program: a pass is run again, as it is, as the control and with stubs for the response."""
        answer = self.with_retry(program, retry=self.timeouts_again)
        if (judge := program.get("apart")) is not None:
            left = answer.pop("left")
            whole = left and None not in left.values()  # none where the program has ended its box
            answer["apart"] = self.verdict({**judge, "data": left}) if whole else None
        checks = answer.pop("checks")
        if answer["verdict"] != "pass":
            return answer
        nothing = {"verdict": "notest", "detail": "no assertion that depends on the response was executed"}
        if not self.again:
            return answer if any(checks["held"]) else answer | nothing
        order = SystemRandom().sample(("", "control"), 2)
        found = {trial: self.with_retry(program, trial) for trial in order}
        if (verdict := found[""]["verdict"]) != "pass":
            return answer | {"verdict": "flaky", "detail": f"passed, and when run again: {verdict}"}
        if found["control"]["verdict"] == "pass":
            return answer | {"verdict": "cheat", "detail": "also passes when the expected values are changed"}
        return answer if self.depends(program, checks, found["control"]["checks"]) else answer | nothing

    def depends(self, program: Record, checks: Record, control: Record | None) -> bool:
        """Whether an assertion fails, or is not reached, when stubs do the work of the response.

        None needs to, once a comparison of the response's result with a literal has failed with another literal.
        `checks` are those of the response, `control` those with the other expected values. An exception that is not the
        tests' own counts for the first kind of stub only, whose values take part in almost everything: the others would
        break what can never fail, too.
        """
        if control and any(control["failed"][number] > checks["failed"][number] for number in checks["plain"]):
            return True
        for kind in KINDS:
            with self.lane.shared():
                seen = self.once(program, kind)["checks"]
            if seen is None:  # a limit was hit, say
                if kind == KINDS[0]:
                    return True
                continue
            counting = [n for n in range(len(checks["failed"])) if n not in checks["voided"]]
            failed = any(seen["failed"][n] > checks["failed"][n] for n in counting)
            fewer = any(seen["held"][n] < checks["held"][n] for n in counting[:-1])
            if failed or seen["raised"] > checks["raised"] or (fewer and kind == KINDS[0]):
                return True
        return False


def run_programs(
    programs: Iterable[Record],
    limits: Limits = DEFAULT,
    workers: int | None = None,
    again: bool = True,
    timeouts_again: bool = True,
) -> Generator[Record, None, None]:
    """Judge programs (id, code, tests, perhaps entry, time, report) in `workers` boxes, one per core by default.

    Yields {id, verdict, detail, units, ended, seconds (by the clock), cpu_seconds, memory_mb (peak), tier} in input
    order as they come; reads `programs` only a little ahead. `units` are (name, verdict, detail) of each test case and
    of each assertion outside of cases, in the order in which they ended, with the verdict "skip" for those skipped; the
    program's verdict and detail are those of the first that failed. `ended` says whether the tests came to their end:
    else a limit, say, has cut the units short. `entry` names the function that HumanEval's `check` is called with,
    `time` replaces the limit's processor seconds for this program.

    `report` is for tests that measure or grade: it names a variable under which they find `scale`, the factor by
    which all times are multiplied, and `store(value)`, which puts one JSON value (`lib.sandbox.cell.MAX_REPORT`,
    `lib.sandbox.harness.MAX_DEPTH`) into the answer as `report`; None when nothing was stored or the program did not
    reach an end of its own. The response runs in the same process and can store what it likes: a verdict never rests
    on a report, and a report must not turn another verdict into a pass.

    Few programs have these, whose values are texts or `by_reference` (a file that is read when the program runs):
    `stdin`; `files`, name -> content, in a working folder that is the program's current one and its own; `data`,
    name -> content, which the tests alone find as a global text of that name. `output` (True) puts what was written to
    standard output into the answer, `keep` (names) what was left in the working folder: `left`, name -> base64, None
    for what is missing, is a link or no plain file, or too large (`lib.sandbox.desk.MAX_KEPT`).

    `apart` is a second program (code, tests, report, time), whose tests find what the first has left as texts: base64,
    named as the files. It runs whatever the first one's verdict, in a process in which the first has never been, so
    that expected values can be in it; its own answer is in the first one's, as `apart`, in place of `left`: None where
    a file is missing.

    With `tests` None the response is a whole program: its `__main__` part runs, too, and it can read `stdin`. Its
    verdict is "ended" when it has come to its end, which says nothing about its answer: that is for the caller, who
    compares the output with values that never entered the box.

    Without `again` every program runs once, with no control and no second run after a pass or a timeout, for callers
    that compare answers and repeat timeouts themselves; without `timeouts_again` only that of timeouts is left out.
    Closing the generator ends every box. Raises StudyError before anything runs when no sandbox works.
    """
    make, tier = working()
    time_scale()
    workers = workers or len(os.sched_getaffinity(0))
    pool = _Pool(make, limits, again, timeouts_again)
    waiting: deque[tuple[str, Future[Record]]] = deque()
    source = iter(programs)
    with ThreadPoolExecutor(workers, "sandbox") as threads:
        try:
            while True:
                while len(waiting) < 4 * workers and (program := next(source, None)) is not None:
                    waiting.append((program["id"], threads.submit(pool.verdict, program)))
                if not waiting:
                    return
                identity, verdict = waiting.popleft()
                yield {"id": identity, **verdict.result(), "tier": tier}
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
            while not pool.idle.empty():
                pool.idle.get_nowait().close()


def run_with_journal(
    programs: Sequence[Record],
    journal: Journal,
    limits: Limits = DEFAULT,
    workers: int | None = None,
    run: Callable[..., Iterable[Record]] = run_programs,
) -> Generator[Record, None, None]:
    """Like run_programs, but each verdict is stored in `journal` as it comes, and no program in it runs again.

    `run` does the work: run_programs here, or `lib.sandbox.ray_stage.run_on_ray` on a cluster. With a `Lazy`, no
    program is kept in memory: each is made once to be identified and once more to be run.

    A stored verdict is identified by the program's FIELDS, the limits, the sandbox's tier and code, and the packages'
    versions. Those in the journal come first, then the new ones, in the order in which `run` gives them.
    """
    here = [asdict(limits), check(), *(version(name) for name in limits.packages), *map(file_sha256, HARNESS)]
    here += installed(limits.python)

    def key(program: Record) -> str:
        more = {field: program[field] for field in FURTHER if program.get(field) is not None}
        return content_id(*(program.get(field) for field in FIELDS), *([more] if more else []), *here)

    keys = [(program["id"], key(program)) for program in programs]
    for identity, found in keys:
        if found in journal:
            yield journal[found] | {"id": identity}
    key_of = dict(keys)
    missing = [place for place, (_, found) in enumerate(keys) if found not in journal]
    for verdict in run(Lazy(missing, lambda place: programs[place]), limits, workers) if missing else ():
        journal.add(verdict | {"id": key_of[verdict["id"]]})
        yield verdict
