"""The sandbox's second tier in use: the shared corpus again, each kind of isolation, limits, nothing left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import test_sandbox
from test_sandbox import (  # pytest runs them here with the other tier
    ROOT,
    SHORT,
    descendants,
    left_of,
    outside,  # noqa: F401
    run,
    test_a_fork_bomb_does_not_hurt_its_neighbour,  # noqa: F401
    test_a_report_is_the_same_on_every_machine,  # noqa: F401
    test_a_verdict_names_no_folder_of_this_machine,  # noqa: F401
    test_hashes_and_details_are_the_same_in_every_box,  # noqa: F401
    test_limits,  # noqa: F401
    test_packages_are_there_when_asked_for_and_only_then,  # noqa: F401
    test_programs_are_read_as_they_are_needed_and_no_process_stays,  # noqa: F401
    test_shared_corpus,  # noqa: F401
    test_verdicts,  # noqa: F401
    with_interpreter,
)

from lib import sandbox
from lib.core.records import StudyError
from lib.sandbox import Limits, box, confined, landlock, tiers
from lib.sandbox.channel import send
from lib.sandbox.confined import ConfinedBox

pytestmark = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
ABI_TODAY = landlock.abi()


@pytest.fixture(autouse=True, scope="module")
def second_tier() -> Iterator[None]:
    """Every test of this file runs in the second tier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_SANDBOX", "landlock")
        tiers.working.cache_clear()
        yield
    tiers.working.cache_clear()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own for private folders."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def boxes(folder: Path) -> list[Path]:
    return list(folder.glob(f"{confined.PREFIX}*"))


def python(code: str, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of Python in the study's folder, perhaps with another command before it."""
    words = [*before, sys.executable, "-c", code]
    return subprocess.run(words, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


# ---- which tier -----------------------------------------------------------------------------------------------------


def test_every_verdict_names_the_tier() -> None:
    assert sandbox.check() == f"landlock ABI {ABI_TODAY}" == run("def f(x): return x * 2")["tier"]


def test_where_namespaces_are_forbidden_this_tier_is_chosen() -> None:
    locked = [str(next(box.candidates())), "--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]
    result = python("from lib import sandbox; print(sandbox.check())", *locked, STUDY_SANDBOX="")
    assert result.stdout == f"landlock ABI {ABI_TODAY}\n", result.stderr


def test_a_tier_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "candidates", lambda: iter(()))
    for wanted, complaint in (("bubblewrap", "bubblewrap was not found"), ("none", "STUDY_SANDBOX is 'none'")):
        monkeypatch.setenv("STUDY_SANDBOX", wanted)
        tiers.working.cache_clear()
        with pytest.raises(StudyError, match=complaint):
            sandbox.check()
    monkeypatch.undo()
    assert sandbox.check().startswith("landlock")


BROKEN = {
    "no filter": ("landlock.py", "_prctl(PR_SET_SECCOMP,", "str((PR_SET_SECCOMP,)) or print("),
    "no Landlock": ("landlock.py", '_call("syscall", RESTRICT_SELF, ', "print("),
    "fork": ("seccomp.py", "threads_only=alone is not None", "threads_only=False"),
    "exec": ("seccomp.py", "for numbers in EXEC:", "for numbers in ():"),
    "kill": ("seccomp.py", "for numbers in KILL_SELF:", "for numbers in ():"),
    "sockets": ("seccomp.py", "FAMILIES if alone is None else ()", "FAMILIES"),
    "socket pairs": ("seccomp.py", "_step(JUMP_BITS, NOT_STREAM, 0, 1)", "_step(JUMP_BITS, NOT_STREAM, 1, 1)"),
    "metadata": ("seccomp.py", "in DENIED_ALONE.values():", "in ():"),
    "descriptors": ("cell.py", "os.closerange(3, fd)", "pass"),
    "environment": ("cell.py", 'sys.argv = ["solution.py"]', 'os.environ["TOKEN"] = "x"'),
}


@pytest.mark.parametrize("wall", BROKEN)
def test_the_probe_finds_isolation_that_does_not_hold(
    wall: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, old, new = BROKEN[wall]
    for name in confined.PARTS:
        text = (confined.HERE / name).read_text()
        assert name != part or old in text
        (tmp_path / name).write_text(text.replace(old, new) if name == part else text)
    monkeypatch.setattr(confined, "HERE", tmp_path)
    tiers.working.cache_clear()
    with pytest.raises(StudyError, match="landlock: the sandbox's probe failed"):
        sandbox.check()


# ---- isolation ------------------------------------------------------------------------------------------------------

# What a program tries. KEY is the user's file, OWN a readable one of the harness's, PID the study's process.
ATTACKS = {
    "files": """
        open(KEY).read()
        open(KEY, "a")
        open("/proc/self/root" + KEY)
        os.listdir(os.path.dirname(KEY))
        open(os.path.dirname(KEY) + "/new", "x")
        open("/tmp/study-new", "x")
        open("/dev/shm/study-new", "x")
        open(OWN, "a")
        os.open(OWN, os.O_RDONLY | os.O_TRUNC)
        os.truncate(OWN, 0)
        os.truncate(KEY, 0)
        os.unlink(KEY)
        os.rename(KEY, KEY + "2")
        os.symlink(KEY, os.path.dirname(KEY) + "/link")
        os.mknod(os.environ["TMPDIR"] + "/device", 0o20600, os.makedev(1, 1))
        os.rmdir(os.environ["TMPDIR"])
        open("/proc/%d/environ" % PID)
        open("/proc/%d/cmdline" % PID)
        open("/proc/%d/mem" % os.getppid(), "r+b")
        open("/proc/self/status")
    """,
    "metadata": """
        os.chmod(KEY, 0o777)
        os.chmod(KEY, 0o777, dir_fd=os.open(".", os.O_PATH))
        os.fchmod(os.open(OWN, os.O_RDONLY), 0o777)
        os.chown(KEY, -1, -1)
        os.fchown(os.open(OWN, os.O_RDONLY), -1, -1)
        os.lchown(KEY, -1, -1)
        os.utime(KEY, (0, 0))
        os.utime(KEY, (0, 0), dir_fd=os.open(".", os.O_PATH))
        os.setxattr(KEY, "user.study", b"x")
        os.removexattr(KEY, "user.study")
        call(452, -100, KEY.encode(), 0o777, 0)
        call(463, -100, KEY.encode(), 0, b"user.study", 0, 0)
        fcntl.ioctl(os.open(OWN, os.O_RDONLY), 0x40086602, bytes(8))
        fcntl.fcntl(os.open(OWN, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)
    """,
    "processes": """
        os.fork()
        os.system("true") and denied()
        subprocess.run(["true"])
        os.posix_spawn("/bin/true", ["true"], {})
        os.kill(PID, 0)
        os.kill(os.getppid(), 0)
        os.kill(0, 0)
        os.kill(-1, 0)
        os.killpg(os.getpgid(PID), 0)
        call(TGKILL, PID, PID, 0)
        call(TKILL, PID, 0)
        call(SIGQUEUE, PID, 0, struct.pack("iii116x", 0, 0, -1))
        os.pidfd_open(PID)
        fcntl.fcntl(0, fcntl.F_SETOWN, PID)
        fcntl.fcntl(0, 10, signal.SIGKILL)
        fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack("i", os.getpid()))
        resource.prlimit(PID, resource.RLIMIT_CPU)
        os.sched_setaffinity(PID, {0})
        os.setpriority(os.PRIO_PROCESS, PID, 19)
        libc("ptrace", 16, PID, 0, 0)
        libc("prctl", 1, 0, 0, 0, 0)
        libc("process_vm_readv", PID, 0, 0, 0, 0, 0)
        os.memfd_create("x")
    """,
    "sockets": """
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        socket.socket(socket.AF_INET, socket.SOCK_RAW)
        socket.socket(socket.AF_UNIX)
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
        socket.socket(40, socket.SOCK_STREAM)
        socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.socketpair()[0].bind("name")
        socket.socketpair()[0].connect("/dev/log")
    """,
}
TOOLS = """
import ctypes, fcntl, os, resource, signal, socket, struct, subprocess
TGKILL, TKILL, SIGQUEUE = (234, 200, 129) if os.uname().machine == "x86_64" else (131, 130, 138)
def denied():
    raise PermissionError
def libc(name, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if getattr(library, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def call(number, *arguments):
    libc("syscall", number, *arguments)
"""
REFUSALS = ("PermissionError", "OSError: [Errno 97]", "OSError: [Errno 38]", "OSError: [Errno 18]")


# Only the isolation of files depends on the ABI; a newer kernel can act as an older one.
@pytest.mark.parametrize(
    ("wall", "level"),
    [(wall, ABI_TODAY) for wall in ATTACKS] + [("files", level) for level in (1, 2, 3, 5) if level < ABI_TODAY],
)
def test_walls(wall: str, level: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: level)
    key = tmp_path / "key"
    key.write_text("secret")
    before = key.stat()
    known = f"KEY, OWN, PID = {str(key)!r}, os.getcwd() + '/lib/sandbox/cell.py', {os.getpid()}"
    tries = [line.strip() for line in ATTACKS[wall].splitlines() if line.strip()]
    programs = [
        {"id": line, "code": f"{TOOLS}\n{known}\ndef f(x):\n    {line}", "tests": "assert f(2) == 4"} for line in tries
    ]
    verdicts = list(sandbox.run_programs(programs, SHORT, workers=1))
    through = [v for v in verdicts if v["verdict"] != "fail" or not any(error in v["detail"] for error in REFUSALS)]
    assert not through and len(verdicts) == len(tries)
    assert key.read_text() == "secret" and os.listdir(tmp_path) == ["key"]
    assert key.stat()[:] == before[:] or (key.stat().st_mode, key.stat().st_mtime) == (before.st_mode, before.st_mtime)


def test_another_program_cannot_take_the_cells_place() -> None:
    for path in ("/bin/true", sys.executable):
        verdict = run(f"import os\nos.execv({path!r}, ['true'])\ndef f(x): return 4")
        assert verdict["verdict"] == "cheat" and "another program" in verdict["detail"]


def test_honest_programs_have_what_they_need() -> None:
    code = """
        import asyncio, hashlib, mimetypes, os, signal, socket, sqlite3, tempfile, zoneinfo
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        async def g(x):
            await asyncio.sleep(0)
            return x
        def f(x):
            with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as threads:
                (Path(folder) / "a" / "b").mkdir(parents=True)
                (Path(folder) / "a" / "c").write_text("x" * x)
                os.rename(Path(folder) / "a" / "c", Path(folder) / "a" / "b" / "c")
                with open(Path(folder) / "a" / "b" / "c", "r+") as file:
                    file.truncate(1)
                assert list(threads.map(len, ["ab"])) == [2] and Path.home().is_dir()
            one, two = socket.socketpair()
            one.sendall(b"x")
            hashlib.sha256(two.recv(1)), mimetypes.guess_type("a.html"), zoneinfo.ZoneInfo("Europe/Berlin")
            signal.signal(signal.SIGUSR1, lambda *_: None)
            signal.raise_signal(signal.SIGUSR1), os.kill(os.getpid(), signal.SIGUSR1)
            open(os.devnull, "w").write("x"), os.urandom(2), open("/dev/urandom", "rb").read(1)
            return asyncio.run(g(x)) + sqlite3.connect(":memory:").execute("select 2").fetchone()[0]
    """
    verdict = run(code)
    assert verdict["verdict"] == "pass", verdict


# ---- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("for n in range(40): open(f'{folder}/{n}', 'wb').write(bytes(1 << 20))", "more than 16 MiB of files"),
        ("for n in range(1100): open(f'{folder}/{n}', 'w').close()", "more than 16 MiB of files"),
        ("os.mkdir(folder + '/hidden', 0o300)", "more than 16 MiB of files" if os.geteuid() else ""),
        ("threading.stack_size(65536)\n    for n in range(40): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    time.sleep(60)", "more than 24 threads"),  # noqa: E501
        ("open(folder + '/big', 'wb').write(bytes(17 << 20))", "File too large"),
    ],
    ids=["many files", "too many files", "a folder that cannot be read", "threads", "one file"],
)  # fmt: skip
def test_limits_without_namespaces(body: str, detail: str, temporary: Path) -> None:
    code = f"import os, threading, time\ndef f(x):\n    folder = os.environ['TMPDIR']\n    {body}\n    return x * 2"
    verdict = run(code, limits=Limits(cpu_seconds=10))
    assert detail in verdict["detail"] and (verdict["verdict"] != "pass" or not detail), verdict
    assert not boxes(temporary)


# ---- nothing left behind --------------------------------------------------------------------------------------------


def test_nothing_reaches_the_next_program(temporary: Path) -> None:
    leave = """
        import math, os
        open(os.environ["TMPDIR"] + "/note", "w").write("x")
        os.environ["NOTE"] = "x"
        math.pi = 3
        def f(x): return x * 2
    """
    find = """
        import math, os
        seen = os.listdir(os.environ["TMPDIR"])
        def f(x): return 0 if seen or "NOTE" in os.environ or math.pi == 3 else x * 2
    """
    pair = [{"id": "x", "code": textwrap.dedent(code), "tests": "assert f(2) == 4"} for code in (leave, find)]
    assert [v["verdict"] for v in sandbox.run_programs(pair, workers=1)] == ["pass", "pass"]
    assert not boxes(temporary)


def test_a_folder_is_removed_whatever_a_program_put_into_it(temporary: Path) -> None:
    code = """
        import os
        os.chdir(os.environ["TMPDIR"])
        os.mkdir("closed", 0o300)
        open("closed/file", "w").close()
        os.symlink("/usr", "link")
        for n in range(3000):
            os.mkdir("deeper")
            os.chdir("deeper")
        def f(x): return x * 2
    """
    assert run(code, limits=Limits())["verdict"] in ("pass", "error")
    assert not boxes(temporary)


def test_a_folder_in_use_is_not_swept(temporary: Path) -> None:
    busy = ConfinedBox(Limits())
    try:
        confined.sweep()
        assert boxes(temporary) == [busy.folder]
        assert busy.run({"code": "def f(x): return x", "tests": "assert f(1) == 1"})["verdict"] == "pass"
    finally:
        busy.close()
    assert not boxes(temporary)


def started(script: str, count: int) -> tuple[subprocess.Popen[bytes], set[tuple[int, str]]]:
    """A study in another process, and its boxes and cells, once there are `count`."""
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    end = time.monotonic() + 30
    while len(processes := descendants(parent.pid)) < count and time.monotonic() < end:
        time.sleep(0.1)
    assert len(processes) == count, "the boxes did not start"
    return parent, processes


WAITING = """
    from lib import sandbox
    program = {"code": "import ctypes, time\\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)", "tests": "time.sleep(600)"}
    programs = [program | {"id": str(n), "tests": "import time\\n" + program["tests"]} for n in range(2)]
    list(sandbox.run_programs(programs, sandbox.Limits(cpu_seconds=300), workers=2))
"""


def test_kill_9_of_the_parent_leaves_nothing(temporary: Path) -> None:
    sandbox.check()
    parent, processes = started(WAITING, 4)
    assert len(boxes(temporary)) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not left_of(processes)
    assert len(boxes(temporary)) == 2
    assert python("from lib import sandbox; sandbox.check()").returncode == 0
    assert not boxes(temporary)


def test_kill_9_of_a_box_ends_its_cell() -> None:
    made = ConfinedBox(Limits())
    try:
        code = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\ntime.sleep(600)"
        limits = asdict(Limits(cpu_seconds=300)) | {"wall_seconds": 900.0, "scale": 1.0}
        send(made.control, {"code": code, "limits": limits})
        end = time.monotonic() + 30
        while not (cells := descendants(made.process.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)  # until it has tried to outlive the harness
        assert len(cells) == 1
        made.process.kill()
        assert not left_of(cells)
    finally:
        made.close()


# ---- who ------------------------------------------------------------------------------------------------------------

WHO = """
from lib import sandbox
code = "import os\\ndef f(x): return os.getresuid() + os.getresgid() + tuple(os.getgroups())"
program = {"id": "x", "code": code, "tests": "assert f(2) == 4, f(2)"}
print(next(sandbox.run_programs([program], workers=1))["detail"])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user and privileges to give up")
def test_root_becomes_an_unused_user_where_one_can_read_the_interpreter() -> None:
    open_to_all = python(WHO, *with_interpreter()).stdout
    uids = {int(number) for number in open_to_all.split("(")[-1].strip(")\n").split(", ")}
    assert len(uids) == 1 and uids.pop() >= box.UNUSED_UID


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user and privileges to give up")
def test_root_has_no_privilege_left() -> None:
    code = "import os\ndef f(x): os.chroot('/usr')"
    assert "PermissionError" in run(code)["detail"]
    capabilities = "import ctypes\ndef f(x):\n    data = (ctypes.c_uint * 6)()\n    ctypes.CDLL(None).capget(ctypes.byref((ctypes.c_uint * 2)(0x20080522, 0)), data)\n    return sum(data)"  # noqa: E501
    assert run(capabilities, "assert f(2) == 0")["verdict"] == "pass"


# The tests to run as an ordinary user: those of the walls, or all that can be.
WALLS = "(walls or probe or places or (corpus and not resource)) and not user and not forbidden"
EVERYTHING = "not user and not packages and not forbidden and not flaky"


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every test in this file is already the unprivileged one")
@pytest.mark.parametrize("which", [WALLS, pytest.param(EVERYTHING, marks=pytest.mark.slow)])
def test_an_unprivileged_user_gets_the_same(which: str) -> None:
    test_sandbox.as_another_user(__file__, which)
