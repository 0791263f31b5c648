"""The trusted program inside a box: process 1 of its PID namespace, which never runs untrusted code itself.

For each program it forks a cell. The cell runs the response alone and says so; only then do the tests, a nonce and
random helper names reach it. It reports over a close-on-exec socket, and a pass is believed only with the nonce, from
an end that was reached, with at least one assertion that ran and depended on the response. Exit codes and printed
words prove nothing. After each verdict every other process of the namespace is killed. Standard library only.
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
import signal
import site
import socket
import sys
import time

from lib.sandbox import cell, gate
from lib.sandbox.channel import HEADER, Message, receive, send

MAX_SOURCE = 256 << 10  # bytes of response and of tests; more is refused unread
POLL_MS = 30  # how often processor time and memory of a cell are looked at
PAGE, TICK = resource.getpagesize(), os.sysconf("SC_CLK_TCK")
WRITABLE = ("/tmp", "/dev/shm")


class Verdict(Exception):
    """The end of a program: (verdict, detail)."""


def usage() -> tuple[float, int]:
    """Processor seconds and resident bytes of everything in the box but process 1 (whose pages the others share)."""
    seconds, pages, own = 0.0, 0, int(pathlib.Path("/proc/1/statm").read_text().split()[1])
    for entry in os.listdir("/proc"):
        if entry.isdigit() and entry != "1":
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                seconds += sum(map(int, fields[11:15])) / TICK
                pages += max(0, int(fields[21]) - own)
    return seconds, pages * PAGE


def kill_all() -> None:
    """Kill and reap every process but this one."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(-1, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.0002)


class Watch:
    """Waits for a cell's messages while holding it to its limits."""

    def __init__(self, pid: int, channel: socket.socket, output: int, control: socket.socket, limits: Message):
        self.pid, self.cell, self.output, self.control, self.limits = pid, channel, output, control, limits
        self.buffer, self.written, self.start, self.looked, self.open = b"", 0, time.monotonic(), 0.0, True
        self.waited = 0.0
        self.waited = self.stalled()
        self.poll = select.poll()
        self.poll.register(channel, select.POLLIN)
        self.poll.register(output, select.POLLIN)
        self.poll.register(control, 0)  # only its hang-up: the parent is gone

    def message(self) -> Message:
        """The cell's next message; raises Verdict when a limit is hit or the cell ends first."""
        while True:
            for fd, event in self.poll.poll(POLL_MS if self.open else 5):
                if fd == self.control.fileno():
                    os._exit(0)
                elif fd == self.output:
                    self.drain()
                elif event:
                    self.fill()
            if len(self.buffer) >= 4 and len(self.buffer) >= 4 + HEADER.unpack(self.buffer[:4])[0]:
                size = 4 + HEADER.unpack(self.buffer[:4])[0]
                body, self.buffer = self.buffer[4:size], self.buffer[size:]
                return dict(json.loads(body))
            if not self.open:
                self.ended()
            self.check()

    def fill(self) -> None:
        part = self.cell.recv(65536)
        self.buffer += part
        if len(self.buffer) > 65536:
            raise Verdict("cheat", "wrote to the harness's channel")
        if not part:
            self.open = False
            self.poll.unregister(self.cell)

    def drain(self) -> None:
        part = os.read(self.output, 65536)
        self.written += len(part)
        if self.written > self.limits["output_kb"] << 10:
            raise Verdict("error", f"wrote more than {self.limits['output_kb']} KiB of output")
        if not part:
            self.poll.unregister(self.output)

    def stalled(self) -> float:
        """Seconds for which the cell or process 1 could have run and got no core: a busy machine is not its fault."""
        waited = -self.waited
        for pid in (1, self.pid):
            with contextlib.suppress(OSError, IndexError):
                waited += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return waited

    def timeout(self) -> Verdict:
        """The same words whichever clock ran out first, so that a busy machine does not change the record."""
        cpu, wall = self.limits["cpu_seconds"], self.limits["wall_seconds"]
        return Verdict("timeout", f"not finished within {cpu:g} s of processor time or {wall:g} s by the clock")

    def check(self) -> None:
        now, wall = time.monotonic(), self.limits["wall_seconds"]
        if now - self.start > wall and now - self.start - min(self.stalled(), 3 * wall) > wall:
            raise self.timeout()
        if now - self.looked > POLL_MS / 1000:
            seconds, memory = usage() if self.looked else (0.0, 0)
            self.looked = now
            if seconds > self.limits["cpu_seconds"]:
                raise self.timeout()
            if memory > self.limits["memory_mb"] << 20:
                raise Verdict("oom", f"used more than {self.limits['memory_mb']} MiB of memory")

    def ended(self) -> None:
        """Turn the exit of a cell that has not reported into a verdict."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            if name == "SIGXCPU":
                raise self.timeout()
            raise Verdict("error", f"killed by {name}")
        code = os.WEXITSTATUS(status)
        raise Verdict("error" if code else "cheat", f"left with exit code {code} before the tests were finished")


def judge(control: socket.socket, job: Message) -> Message:
    """Run one program in a cell of its own; returns verdict, detail, seconds (by the clock), dirty."""
    started = time.monotonic()
    ours, theirs = socket.socketpair()
    output, end = os.pipe()
    pid = os.fork()
    if not pid:
        cell.run(theirs, end, job)
    theirs.close()
    os.close(end)
    ours.settimeout(job["limits"]["wall_seconds"])  # a cell that does not read must not hold process 1
    watch = Watch(pid, ours, output, control, job["limits"])
    try:
        label, detail = follow(watch, control, job["code"])
    except Verdict as verdict:
        label, detail = verdict.args
    except Exception as error:  # a report that is no report: only a program that tampers can cause it
        label, detail = "cheat", f"broke the harness's protocol: {type(error).__name__}"
    seconds = time.monotonic() - started
    kill_all()
    ours.close()
    os.close(output)
    dirty = label not in ("pass", "fail", "notest") or any(os.listdir(folder) for folder in WRITABLE)
    detail = re.sub(r"0x[0-9a-f]{6,}", "0x...", " ".join(detail.split()))
    detail = re.sub(re.escape(sys.base_prefix) + r"[^\s'\")]*", "<python>", detail)[:300]  # the same on every machine
    detail = detail.encode("utf-8", "backslashreplace").decode()
    return {"verdict": label, "detail": detail, "seconds": round(seconds, 3), "dirty": dirty}


def follow(watch: Watch, control: socket.socket, code: str) -> tuple[str, str]:
    """The two phases of a program; returns or raises its verdict and detail."""
    if len(code) > MAX_SOURCE:
        receive(control)
        raise Verdict("error", "the response is longer than 256 KiB")
    try:
        loaded = watch.message()
    except Verdict:
        receive(control)  # the tests, which are not needed any more
        raise
    second = receive(control)
    if second is None:
        os._exit(0)
    if "failed" in loaded:
        raise Verdict(loaded["failed"], f"while loading the response: {loaded['error']}")
    names = gate.Names(*(f"_{secrets.token_hex(8)}" for _ in range(3)))
    nonce, tests = secrets.token_hex(16), second["tests"]
    if len(tests) > MAX_SOURCE:
        raise Verdict("error", "the tests are longer than 256 KiB")
    try:
        plan = gate.plan(code, tests, second["entry"], names, second["control"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Verdict("error", f"the tests do not parse: {type(error).__name__}: {error}") from None
    program = base64.b64encode(marshal.dumps(plan.code)).decode()
    send(watch.cell, {"program": program, "nonce": nonce, "names": dataclasses.astuple(names), "last": plan.last_line})
    report = watch.message()
    if "failed" in report:
        lines = tests.splitlines()
        where = lines[report["line"] - 1].strip()[:150] if 0 < report["line"] <= len(lines) else "the tests"
        raise Verdict(report["failed"], f"{where} -> {report['error']}")
    if report.get("nonce") != nonce:
        raise Verdict("cheat", "reported the end of the tests without having been told the nonce")
    if not report["ticks"]:
        return "notest", "no assertion that depends on the response was executed"
    return "pass", ""


def main() -> None:
    """Serve jobs from the descriptor named on the command line until the parent closes its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # process 1 cannot be hurt by a signal that it does not handle
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/1/mem is closed to the cells; no core files
    site.setquit()
    sys.path = [folder for folder in sys.path if folder not in ("", "/harness")]
    sys.argv = ["harness"]
    cell.preload()
    gc.collect()
    gc.freeze()
    send(control, {"ready": sys.version.split()[0]})
    while (job := receive(control)) is not None:
        send(control, judge(control, job))


if __name__ == "__main__":
    main()
