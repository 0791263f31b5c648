"""The trusted program inside a box; it never runs untrusted code itself.

It is process 1 of its PID namespace, or a process that has confined itself (`lib.sandbox.landlock`) where there are no
namespaces.

For each program it forks a cell. The cell runs the response alone and reports that it has loaded; only then does it
receive the tests, a nonce and random names of helper functions. It reports on a close-on-exec socket. A pass needs the
nonce, the end of the tests, and at least one assertion that ran and depends on the response; exit codes and output are
no evidence. After each program every other process of the box is killed. Standard library only.
"""

import base64
import contextlib
import ctypes
import dataclasses
import gc
import json
import marshal
import os
import pathlib
import re
import resource
import secrets
import select
import shutil
import signal
import site
import socket
import sys
import time
from typing import Any

from lib.sandbox import cell, gate, landlock
from lib.sandbox.channel import HEADER, Message, receive, send
from lib.sandbox.desk import Desk
from lib.sandbox.processes import kill_all, leave, reap, usage

MAX_SOURCE = 256 << 10  # characters of response and of tests; longer ones are refused unread
MAX_UNITS = 1000  # cases and assertions outside of cases that a verdict lists, but for the first failure
FAILURES = ("fail", "error", "oom", "cheat")  # the verdicts that a cell may report of itself
MAX_DEPTH = 8  # levels of lists and objects in a report; unbounded nesting would exhaust a reader's stack
POLL_MS = 30  # milliseconds between two measurements of a cell's processor time and memory
WRITABLE = ("/tmp", "/dev/shm")
WALLS: landlock.Walls | None = None  # set where there are no namespaces


class Verdict(Exception):
    """The end of a program. The box stays `clean` after an ordinary one, which the cell itself reports."""

    def __init__(self, label: str, detail: str, clean: bool = False, report: Any = None) -> None:
        super().__init__(label, detail)
        self.label, self.detail, self.clean, self.report = label, detail, clean, report


class Watch:
    """Waits for a cell's messages and enforces its limits meanwhile."""

    def __init__(
        self,
        pid: int,
        channel: socket.socket,
        output: int,
        control: socket.socket,
        limits: Message,
        keeps: bool = False,
    ):
        """`keeps`: what is written to the output is kept."""
        self.said, self.keeps, self.open_output = bytearray(), keeps, True
        self.pid, self.cell, self.output, self.control, self.limits = pid, channel, output, control, limits
        self.buffer, self.written, self.start, self.looked, self.open = b"", 0, time.monotonic(), 0.0, True
        self.peak = 0  # KiB, once the cell has ended
        self.units: dict[str, tuple[str, str]] = {}  # name -> verdict and detail, in the order in which they ended
        self.checks: Message | None = None  # what assertions did, once the tests have `ended` by themselves
        self.ended = False
        self.waited = 0.0
        self.waited = self.stalled()
        os.set_blocking(output, False)  # a program can read its output back before the harness does
        self.poll = select.poll()
        self.poll.register(channel, select.POLLIN)
        self.poll.register(output, select.POLLIN)
        self.poll.register(control, 0)  # reports only that the parent is gone

    def message(self) -> Message:
        """The cell's next message; raises Verdict when a limit is hit or the cell ends first."""
        while True:
            if len(self.buffer) >= 4 and len(self.buffer) >= 4 + HEADER.unpack(self.buffer[:4])[0]:
                size = 4 + HEADER.unpack(self.buffer[:4])[0]
                body, self.buffer = self.buffer[4:size], self.buffer[size:]
                return dict(json.loads(body))
            for fd, event in self.poll.poll(POLL_MS if self.open else 5):
                if fd == self.control.fileno():
                    leave(self.pid)
                elif fd == self.output:
                    self.drain()
                elif event:
                    self.fill()
            if not self.open:
                self.gone()
            self.check()

    def fill(self) -> None:
        part = self.cell.recv(65536)
        self.buffer += part
        if len(self.buffer) > 2 * 65536:
            raise Verdict("cheat", "wrote to the harness's channel")
        if not part:
            self.open = False
            self.poll.unregister(self.cell)

    def drain(self) -> None:
        try:
            part = os.read(self.output, 65536)
        except BlockingIOError:
            return
        self.written += len(part)
        if self.keeps:
            self.said += part
        if self.written > self.limits["output_kb"] << 10:
            raise Verdict("error", f"wrote more than {self.limits['output_kb']} KiB of output")
        if not part and self.open_output:
            self.open_output = False
            self.poll.unregister(self.output)

    def rest(self) -> None:
        """Read what is left of the output, once no process can write any more."""
        before = -1
        while self.keeps and before != self.written:
            before = self.written
            self.drain()

    def stalled(self) -> float:
        """Seconds for which the cell or the harness was runnable without a core, which are not the program's fault."""
        waited = -self.waited
        for pid in (os.getpid(), self.pid):
            with contextlib.suppress(OSError, IndexError):
                waited += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return waited

    def timeout(self) -> Verdict:
        """The verdict; its detail does not depend on which limit was hit first, nor on the scale: records are equal."""
        scale = self.limits["scale"]
        cpu, wall = self.limits["cpu_seconds"] / scale, self.limits["wall_seconds"] / scale
        return Verdict("timeout", f"not finished within {cpu:g} s of processor time or {wall:g} s by the clock")

    def check(self) -> None:
        now, wall = time.monotonic(), self.limits["wall_seconds"]
        if now - self.start > wall and now - self.start - min(self.stalled(), 3 * wall) > wall:
            raise self.timeout()
        if now - self.looked > POLL_MS / 1000:
            seconds, memory = usage(self.pid) if self.looked else (0.0, 0)
            self.looked = now
            if seconds > self.limits["cpu_seconds"]:
                raise self.timeout()
            if memory > self.limits["memory_mb"] << 20:
                raise Verdict("oom", f"used more than {self.limits['memory_mb']} MiB of memory")
            if WALLS is not None and (excess := WALLS.exceeded(self.limits, self.pid)):
                raise Verdict("error", excess)

    def heard(self, message: Message, tests: str) -> None:
        """Keep what the cell reports of one case; ValueError for what it would not report."""
        name, verdict = message["unit"], message["verdict"]
        if verdict not in (*FAILURES, "pass", "skip") or not isinstance(name, str):
            raise ValueError("no unit")
        failed = verdict in FAILURES
        if name in self.units and not failed or len(self.units) >= MAX_UNITS and self.first_failure():
            return
        detail = f"{statement(tests, message['line'])} -> {message['error']}" if failed else ""
        if failed or len(self.units) < MAX_UNITS:
            self.units[name] = (verdict, detail)

    def first_failure(self) -> tuple[str, str] | None:
        """Verdict and detail of the first unit that failed."""
        return next((unit for unit in self.units.values() if unit[0] in FAILURES), None)

    def gone(self) -> None:
        """Turn the exit of a cell that has not reported an end into a verdict."""
        pid, status, self.peak = reap(self.pid)
        if not pid:
            return
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            if name == "SIGXCPU":
                raise self.timeout()
            if name == "SIGSYS":
                raise Verdict("cheat", "tried to become another program before the tests were finished")
            raise Verdict("error", f"killed by {name}")
        code = os.WEXITSTATUS(status)
        raise Verdict("error" if code else "cheat", f"left with exit code {code} before the tests were finished")


def run_program(control: socket.socket, job: Message) -> Message:
    """Run one program in a new cell; returns verdict, detail, report, output, left, seconds (by the clock), cpu_seconds
    (all of its processes), memory_mb (peak of the largest process, pages shared with the harness included), dirty."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    desk = Desk(writable()[0], job.pop("files", None), job.pop("stdin", None), job.get("output", False))
    empty = left()
    ours, theirs = socket.socketpair()
    output, end = os.pipe()
    pid = os.fork()
    if not pid:
        cell.run(theirs, end, job, WALLS, desk)
    theirs.close()
    os.close(end)
    ours.settimeout(job["limits"]["wall_seconds"])  # a cell that does not read must not hold process 1
    watch = Watch(pid, ours, output, control, job["limits"], job.get("output", False))
    try:
        verdict = follow(watch, control, job["code"])
    except Verdict as raised:
        verdict = raised.with_traceback(None)  # whose frames would hold this one
    except Exception as error:  # a malformed message: only a program that tampers sends one
        verdict = Verdict("cheat", f"broke the harness's protocol: {type(error).__name__}")
    seconds = time.monotonic() - started
    peak = max(kill_all(pid), watch.peak)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    try:
        watch.rest()
    except Verdict as flood:
        verdict = flood if verdict.label == "ended" else verdict
    ours.close()
    os.close(output)
    if WALLS is not None and verdict.clean and (excess := WALLS.exceeded(job["limits"])):
        verdict = Verdict("error", excess)
    dirty = not verdict.clean or not empty or left() != empty
    kept = desk.left(job.get("keep", ()))
    dirty = not desk.clear() or dirty
    usage = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "memory_mb": peak >> 10}
    found = {"verdict": verdict.label, "detail": one_line(verdict.detail), "report": verdict.report}
    found["units"] = [(one_line(name), label, one_line(why)) for name, (label, why) in watch.units.items()]
    found |= {"output": watch.said.decode("utf-8", "backslashreplace"), "left": kept}
    return {**found, "ended": watch.ended, "checks": watch.checks, **usage, "dirty": dirty}


def left() -> list[tuple[list[str], int]]:
    """What a program could leave behind: files, another mode or attribute of the folders; empty if they are closed."""
    with contextlib.suppress(OSError):
        return [(os.listdir(folder), os.stat(folder).st_ctime_ns) for folder in writable()]
    return []


def writable() -> list[str]:
    """The folders in which a program can write."""
    return list(WRITABLE) if WALLS is None else [WALLS.folder]


def tidy() -> None:
    """Remove what imported packages have written: a program could change it for the next one."""
    for folder in writable():
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def one_line(text: str) -> str:
    """A text as it is recorded."""
    return portable(" ".join(text.split()))[:300]


def portable(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A JSON value whose strings are the same on every machine and in both tiers; ValueError when nested too deep."""
    match value:
        case str():
            text = value.replace(os.path.dirname(WALLS.folder), "") if WALLS is not None else value
            text = re.sub(r"0x[0-9a-f]{6,}", "0x...", text)
            text = re.sub(re.escape(sys.base_prefix) + r"[^\s'\")]*", "<python>", text)
            return text.encode("utf-8", "backslashreplace").decode()
        case list() | dict() if not depth:
            raise ValueError("nested too deep")
        case list():
            return [portable(item, depth - 1) for item in value]
        case dict():
            return {portable(key): portable(item, depth - 1) for key, item in value.items()}
    return value


def follow(watch: Watch, control: socket.socket, code: str) -> Verdict:
    """The two phases of a program; returns or raises its verdict."""
    if len(code) > MAX_SOURCE:
        receive(control)
        raise Verdict("error", "the response is longer than 256 KiB")
    try:
        loaded = watch.message()
    except Verdict:
        receive(control)  # the tests, which are no longer needed
        raise
    second = receive(control)
    if second is None:
        leave(watch.pid)
    if "failed" in loaded:
        if loaded["failed"] not in FAILURES:
            raise ValueError("no such verdict")
        raise Verdict(loaded["failed"], f"while loading the response: {loaded['error']}", clean=True)
    if second["tests"] is None:
        return Verdict("ended", "", clean=True)
    if len(second["tests"]) > MAX_SOURCE:
        raise Verdict("error", "the tests are longer than 256 KiB")
    try:
        verdict = tested(watch, code, second)
    except Verdict as raised:
        verdict = raised
    if verdict.label not in ("pass", "notest") and (first := watch.first_failure()):
        verdict.label, verdict.detail = first  # what came later does not matter: a limit that was hit, say
    return verdict


def tested(watch: Watch, code: str, second: Message) -> Verdict:
    """The second phase: give the cell its tests and a nonce, and accept a pass only with complete evidence."""
    names = gate.Names(*(f"_{secrets.token_hex(8)}" for _ in range(4)))
    nonce, tests, trial = secrets.token_hex(16), second["tests"], second["trial"]
    try:
        if second["entry"] is not None and not second["entry"].isidentifier():
            raise ValueError(f"entry {second['entry'][:40]!r} is not a name")
        plan = gate.plan(code, tests, names, trial == "control")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Verdict("error", f"the tests do not parse: {type(error).__name__}: {error}", clean=True) from None
    program = base64.b64encode(marshal.dumps(plan.code)).decode()
    given = vars(plan) | {"code": None, "program": program, "names": dataclasses.astuple(names), "nonce": nonce}
    send(watch.cell, given | {name: second[name] for name in ("tests", "trial", "entry", "report", "data")})
    while "unit" in (end := watch.message()):
        watch.heard(end, tests)
    report = reported(end)
    if end["nonce"] != nonce:
        raise Verdict("cheat", "reported the end of the tests without having been told the nonce")
    watch.ended = True
    checks = {name: [int(number) for number in end[name]] for name in ("held", "failed", "voided")}
    if (len(checks["held"]), len(checks["failed"])) != (len(plan.lines), len(plan.lines) + 1):
        raise ValueError("not the assertions of these tests")
    watch.checks = {**checks, "raised": int(end["raised"]), "plain": plan.plain}
    if first := watch.first_failure():
        return Verdict(*first, clean=True, report=report)
    if end["changed"]:
        raise Verdict("cheat", "the tests -> changed what the harness gave to the tests", True, report)
    if end["hidden"] and not trial:
        raise Verdict("cheat", f"{statement(tests, end['hidden'][0])} -> failed, and the failure was hidden")
    if not (any(checks["held"]) if trial else plan.checks):
        return Verdict("notest", "no assertion that depends on the response was executed", True, report)
    return Verdict("pass", "", True, report)


def reported(end: Message) -> Any:
    """The JSON value that the tests (or a response that tampers) stored: data of bounded size, never evidence."""
    if len(end["report"]) > cell.MAX_REPORT:
        raise ValueError("the report is too long")
    return portable(json.loads(end["report"]))


def statement(tests: str, line: int) -> str:
    """The text of a line of the tests; the first is 1."""
    lines = tests.splitlines()
    return lines[line - 1].strip()[:150] if 0 < line <= len(lines) else "the tests"


def main() -> None:
    """Serve jobs from the socket whose descriptor is the first argument until the parent closes its end.

    The second argument is JSON, the arguments of `landlock.confine` or null; the others are packages to import.
    """
    global WALLS
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # process 1 ignores signals that it does not handle
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: cells cannot open /proc/1/mem; no core files
    if (walls := json.loads(sys.argv[2])) is not None:
        WALLS = landlock.confine(**walls)
    site.setquit()
    sys.path = [folder for folder in sys.path if folder not in ("", os.getcwd())]
    packages, sys.argv = sys.argv[3:], ["harness"]
    cell.preload(packages)
    if packages:
        tidy()
    gc.collect()
    gc.freeze()
    send(control, {"ready": sys.version.split()[0]})
    while (job := receive(control)) is not None:
        send(control, run_program(control, job))


if __name__ == "__main__":
    main()
