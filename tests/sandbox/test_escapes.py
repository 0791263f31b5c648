"""What others' sandboxes and graders fell for, in both tiers: each program is tried again with its wall taken down.

A line of escapes.jsonl: `lines` are attempts that must end in an OSError, `code` is a response; `origin` says where it
has worked; `walls` names, for each tier in which it is tried, what stops it ("" if that cannot be taken down alone).
WEAKER says how a wall is taken down: then the same program must get through, which shows that the test would see it;
of `lines` the first `every`, as the kernel may refuse the others by itself, else any.
"""

import ctypes
import dataclasses
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import test_sandbox
from test_sandbox import SHORT

from lib import sandbox
from lib.core.records import StudyError
from lib.sandbox import Limits, box, confined, harness, landlock, seccomp, tiers
from lib.sandbox.box import Box, BoxDied

CORPUS = [json.loads(line) for line in Path(__file__).with_name("escapes.jsonl").read_text().splitlines()]
ESCAPES, CHEATS = ([row for row in CORPUS if row["group"] == group] for group in ("escape", "cheat"))
UNDETECTED = [row for row in CORPUS if row["group"] == "undetected"]
TIERS = ("bubblewrap", "landlock") if landlock.abi() else ("bubblewrap",)

# What every program finds. f is right unless an attempt was not refused.
TOOLS = """
import ctypes, errno, fcntl, json, os, signal, socket, stat, struct, sys, tempfile, threading, time
THROUGH = []
def attempt(what, action):
    try:
        action()
    except OSError:
        return
    THROUGH.append(what)
def libc(name, *values):
    library = ctypes.CDLL(None, use_errno=True)
    getattr(library, name).restype = ctypes.c_long
    answer = getattr(library, name)(*(ctypes.c_long(one) if isinstance(one, int) else one for one in values))
    if answer == -1:
        raise OSError(ctypes.get_errno(), name)
    return answer
def kernel(x86_64, aarch64, *values):
    "A system call with arguments that the kernel itself would not answer with one of the filter's errors."
    try:
        libc("syscall", x86_64 if os.uname().machine == "x86_64" else aarch64, *values)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise
def channel():
    found = []
    for fd in range(3, 128):
        try:
            found += [fd] if stat.S_ISSOCK(os.fstat(fd).st_mode) else []
        except OSError:
            pass
    return found
def forge(told):
    "Report the end of the tests as the harness's part in this process would."
    end = {"nonce": told["nonce"], "report": "null", "hidden": [], "held": [1] * len(told["lines"])}
    end |= {"failed": [0] * (len(told["lines"]) + 1), "voided": []}
    body = json.dumps(end | {"raised": 0, "changed": False}).encode()
    for fd in channel():
        os.write(fd, struct.pack(">I", len(body)) + body)
    os._exit(0)
def f(x):
    return "THROUGH: " + ", ".join(THROUGH) if THROUGH else x * 2
"""
TRY = """
def f(x):
    try:
        {}
    except OSError:
        return x * 2
    return "THROUGH"
"""


@dataclasses.dataclass
class World:
    """What programs try to reach: a folder that anyone may change, with a file and sockets; ports; processes."""

    folder: Path
    listeners: list[socket.socket]
    victim: subprocess.Popen[bytes]
    watch: int  # an inotify descriptor: it hears of everything that anyone does with folder and file

    def known(self) -> str:
        port, pids = self.listeners[0].getsockname()[1], (self.victim.pid, os.getpid())
        values = (str(self.folder / "key"), str(self.folder), self.folder.name, port, *pids)
        return f"KEY, FOLDER, NAME, PORT, HOSTPID, PID = {values!r}\n"

    def programs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The programs of these lines of the corpus, those of the same line with the same id."""
        made = []
        for row in rows:
            bodies = [TRY.format(line) for line in row.get("lines", ())]
            for body in bodies or [row["code"]]:
                tests = row.get("tests", "got = f(2)\nassert got == 4, got\n")
                padding = f"padding = {'x' * row['padding']!r}\n" if "padding" in row else ""
                fields = {"code": TOOLS + self.known() + body, "tests": tests + padding}
                fields |= {name: row[name] for name in ("time", "stdin", "files") if name in row}
                made.append({"id": row["id"], **fields})
        return made

    def events(self) -> bytes:
        """What has been done with folder or file since the last call."""
        try:
            return os.read(self.watch, 1 << 16)
        except BlockingIOError:
            return b""

    def untouched(self) -> bool:
        """Whether nobody has opened, read or changed anything, connected, sent something, or killed the process."""
        heard = bool(self.events()) or self.victim.poll() is not None
        for listener in self.listeners:
            try:
                listener.recv(1) if listener.type == socket.SOCK_DGRAM else listener.accept()
            except BlockingIOError:
                continue
            heard = True
        return not heard


@pytest.fixture
def world() -> Iterator[World]:
    libc = ctypes.CDLL(None)
    folder = Path(tempfile.mkdtemp(prefix="study-escapes-"))
    folder.chmod(0o777)
    (folder / "key").write_text("secret")
    (folder / "key").chmod(0o666)
    places: list[tuple[int, Any, int]] = [(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_STREAM)]
    for name, kind in (("socket", socket.SOCK_STREAM), ("datagrams", socket.SOCK_DGRAM)):
        places.append((socket.AF_UNIX, str(folder / name), kind))
    for name, kind in (("", socket.SOCK_STREAM), ("-datagrams", socket.SOCK_DGRAM)):
        places.append((socket.AF_UNIX, f"\0{folder.name}{name}", kind))
    listeners = []
    for family, place, kind in places:
        listeners.append(socket.socket(family, kind))
        listeners[-1].bind(place)
        listeners[-1].setblocking(False)
        if kind == socket.SOCK_STREAM:
            listeners[-1].listen()
    for name in ("socket", "datagrams"):
        (folder / name).chmod(0o777)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    for path in (folder, folder / "key"):
        assert libc.inotify_add_watch(watch, os.fsencode(path), 0xFFF) > 0  # IN_ALL_EVENTS
    made = World(folder, listeners, subprocess.Popen(["sleep", "600"]), watch)
    yield made
    made.victim.kill()
    made.victim.wait()
    for listener in listeners:
        listener.close()
    os.close(watch)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything in one of the tiers, which has been probed before a wall is taken down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_SANDBOX", request.param)
        tiers.working.cache_clear()
        assert sandbox.check().startswith(request.param)
        sandbox.time_scale()
        yield request.param
    tiers.working.cache_clear()


in_both_tiers = pytest.mark.parametrize("tier", TIERS, indirect=True, scope="module")
in_the_second_tier = pytest.mark.parametrize("tier", TIERS[1:], indirect=True, scope="module")


def of(rows: list[dict[str, Any]], tier: str) -> list[dict[str, Any]]:
    return [row for row in rows if tier in row["walls"] or not row["walls"]]


def wrong(rows: list[dict[str, Any]], verdicts: Iterator[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The verdicts that are not as the corpus expects; a hung harness and a box that ended are never expected."""
    expected = {row["id"]: row.get("expected", ["pass"]) for row in rows}
    found = [(v["id"], v["verdict"], v["detail"]) for v in verdicts]
    assert {identity for identity, *_ in found} == expected.keys()
    return [one for one in found if one[1] not in expected[one[0]] or "the sandbox that it ran in" in one[2]]


# ---- the corpus -----------------------------------------------------------------------------------------------------


@in_both_tiers
def test_corpus_of_escapes(tier: str, world: World) -> None:
    rows = of(ESCAPES, tier)
    found = wrong(rows, sandbox.run_programs(world.programs(rows), SHORT, again=False))
    assert not found and world.untouched()


@in_both_tiers
def test_corpus_of_escapes_with_another_interpreter(tier: str, world: World) -> None:
    """Whose packages lie in a folder that the box gets whole."""
    rows = [row for row in of(ESCAPES, tier) if "time" not in row]
    other = dataclasses.replace(SHORT, python=sys.executable)
    found = wrong(rows, sandbox.run_programs(world.programs(rows), other, again=False))
    assert not found and world.untouched()


@in_both_tiers
def test_corpus_of_cheats(tier: str, world: World) -> None:
    rows = of(CHEATS, tier)
    found = wrong(rows, sandbox.run_programs(world.programs(rows), SHORT))
    assert not found


@pytest.mark.parametrize("tier", TIERS[:1], indirect=True, scope="module")
def test_what_is_not_detected_is_listed(tier: str, world: World) -> None:
    """A response can do what it likes with its own process; `lib.sandbox` says so. Whoever mends one moves it up."""
    found = wrong(UNDETECTED, sandbox.run_programs(world.programs(UNDETECTED), SHORT))
    assert not found


@in_the_second_tier
def test_corpus_of_escapes_on_the_oldest_kernel(tier: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Landlock lacks a right, the filter stands in: nothing is downgraded."""
    monkeypatch.setattr(landlock, "abi", lambda: 1)
    rows = [row for row in of(ESCAPES, tier) if "time" not in row]
    found = wrong(rows, sandbox.run_programs(world.programs(rows), SHORT, again=False))
    assert not found and world.untouched()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every test in this file is already the unprivileged one")
def test_an_unprivileged_user_gets_the_same() -> None:
    test_sandbox.as_another_user(__file__, "corpus_of_escapes and not oldest")


def test_what_is_touched_is_noticed(world: World) -> None:
    assert world.untouched()
    (world.folder / "key").read_text()
    assert not world.untouched()
    for listener in world.listeners:
        with socket.socket(listener.family, listener.type) as one:
            one.connect(listener.getsockname())
            if one.type == socket.SOCK_DGRAM:
                one.send(b"x")
        assert not world.untouched()
    assert world.untouched()
    world.victim.kill()
    world.victim.wait()
    assert not world.untouched()


# ---- the same with a wall down --------------------------------------------------------------------------------------


def without(*gone: str) -> Callable[[list[str], World], list[str]]:
    """Remove options of bubblewrap: a name, or a name with its arguments ("*" for any)."""

    def edit(words: list[str], world: World) -> list[str]:
        for option in gone:
            wanted = option.split()
            for place in range(len(words) - len(wanted), -1, -1):
                if all(want in ("*", word) for want, word in zip(wanted, words[place:], strict=False)):
                    del words[place : place + len(wanted)]
        return words

    return edit


def shared(words: list[str], world: World) -> list[str]:
    place = words.index("--remount-ro")
    return [*words[:place], "--bind", str(world.folder), str(world.folder), *words[place:]]


# tier -> wall -> how it is taken down: an edit of bubblewrap's command, or of files that the box gets (file, old, new)
GRADER = {
    "control": [],  # a program that runs only once has none
    "patience": [
        ("harness.py", "ours.settimeout(", "float("),
        ("harness.py", "if now - self.start > wall", "if False"),
    ],
    "flood": [
        ("harness.py", f"raise Verdict({said}", f"max({said}") for said in ('"cheat", "wrote', '"error", f"wrote')
    ],
    "nonce": [("harness.py", "!= nonce:", "== 0:")],
    "exit code": [("harness.py", '"error" if code else "cheat"', '"pass"')],
    "patches": [
        *(("cell.py", undone, "pass") for undone in ("now[name] = value", "setattr(one, name, value)")),
        ("harness.py", 'if end["changed"]', "if False"),
    ],
}
HANDLED = ("harness.py", "signal.signal(number, signal.SIG_DFL)", "signal.signal(number, lambda *_: os._exit(1))")
UNRESTRICTED = ("landlock.py", '_call("syscall", RESTRICT_SELF, ', "print(")
CONFINED = "landlock.confine(**walls)"
DUMPABLE = [
    ("harness.py", "prctl(4, 0,", "prctl(4, 1,"),
    ("harness.py", CONFINED, f"{CONFINED}; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)"),
]
WEAKER: dict[str, dict[str, Any]] = {
    "bubblewrap": GRADER | {
        "files": shared,
        "pids": without("--unshare-pid", "--as-pid-1"),
        "network": without("--unshare-net"),
        "filter": without("--seccomp *"),
        "settings": without("--ro-bind /proc/sys /proc/sys"),
        "read-only": without("--remount-ro *"),
        "dumpable": DUMPABLE,
        "handler": [HANDLED],
    },
    "landlock": GRADER | {
        "files": [UNRESTRICTED],
        "filter": [("landlock.py", "_prctl(PR_SET_SECCOMP,", "str((PR_SET_SECCOMP,)) or print(")],
        "dumpable": [*DUMPABLE, UNRESTRICTED],
    },
}  # fmt: skip


def weaken(how: Any, world: World, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Take a wall down in all boxes that are started from now on, after the probe, which would see it."""
    sandbox.check()
    if callable(how):
        command = box.command
        patch.setattr(box, "command", lambda *values: how(command(*values), world))
        return
    for name in box.PARTS:
        text = (box.HERE / name).read_text()
        for part, old, new in how:
            assert part != name or old in text, f"{part} has changed: take the wall down in another way"
            text = text.replace(old, new) if part == name else text
        (folder / name).write_text(text)
    for module in (box, confined):
        patch.setattr(module, "HERE", folder)


def once(programs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answers of boxes to programs that run once; the verdict "died" for a box that ended or did not answer."""
    made: Box | None = None
    for program in programs:
        made = made or tiers.working()[0](SHORT, sandbox.time_scale())
        try:
            answer = made.run(program)
        except BoxDied:
            answer = {"verdict": "died", "detail": ""}
            made.process.kill()  # it may not hear that it is over
        if answer["verdict"] == "died" or made.dirty:
            made.close()
            made = None
        yield answer
    if made:
        made.close()


DOWN = [(tier, wall) for tier in TIERS for wall in WEAKER[tier]]


@pytest.mark.parametrize(("tier", "wall"), DOWN, indirect=["tier"], scope="module")
def test_a_program_gets_through_where_its_wall_is_down(
    tier: str, wall: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in CORPUS if row["walls"].get(tier) == wall]
    assert rows
    weaken(WEAKER[tier][wall], world, tmp_path, monkeypatch)
    answered = Box.next_message

    def soon(self: Box, seconds: float) -> dict[str, Any]:
        return answered(self, seconds if seconds == box.START_SECONDS else min(seconds, sandbox.time_scale()))

    monkeypatch.setattr(Box, "next_message", soon)
    held = {}
    for row in rows:
        answers = list(once(world.programs([row])))
        usual = row.get("expected", ["pass"]) if "code" in row else (*sandbox.VERDICTS, "died")
        got = ["THROUGH" in a["detail"] or a["verdict"] not in usual for a in answers]
        if not (all(got[: row["every"]]) if "every" in row else any(got)):
            held[row["id"]] = answers
    assert not held


def test_every_wall_is_taken_down_somewhere() -> None:
    known = {(tier, wall) for tier in WEAKER for wall in WEAKER[tier]} | {("landlock", "removal")}
    used = {(tier, wall) for row in CORPUS for tier, wall in row["walls"].items() if wall}
    assert used == known


@in_the_second_tier
def test_the_oldest_kernels_gap_would_be_seen(
    tier: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 1)
    weaken([("landlock.py", "truncation=self.level >= 3", "truncation=True")], world, tmp_path, monkeypatch)
    through = ["THROUGH" in answer["detail"] for answer in once(world.programs(ESCAPES[:1]))]
    assert through == ["truncate" in line for line in ESCAPES[0]["lines"]] and not world.untouched()


# ---- what the host side does with what programs leave ---------------------------------------------------------------

LEFT = [row for row in CORPUS if row["id"].startswith("links ")]


def following(folder: Path) -> None:
    """A cleaner as others had one: it makes everything its own, through links, too."""
    for top, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if os.path.exists(os.path.join(top, name)):
                os.chmod(os.path.join(top, name), 0o666)
    REMOVE(folder)


REMOVE = confined.remove


@pytest.fixture
def temporary(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of this test's own for private folders, which any user can enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@in_the_second_tier
def test_links_are_removed_and_not_followed(
    tier: str, world: World, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cleaner, touches in ((REMOVE, False), (following, True)):
        monkeypatch.setattr(confined, "remove", cleaner)
        found = wrong(LEFT, sandbox.run_programs(world.programs(LEFT), SHORT, again=False))
        assert not found and os.listdir(temporary) == []
        assert world.untouched() != touches


@in_the_second_tier
def test_links_of_killed_boxes_are_swept_and_not_followed(
    tier: str, world: World, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cleaner, touches in ((REMOVE, False), (following, True)):
        monkeypatch.setattr(confined, "remove", cleaner)
        left, lock = confined.make(())
        (left / "tmp" / "closed").mkdir(0o700)
        for place in (left / "tmp", left / "tmp" / "closed"):
            (place / "key").symlink_to(world.folder / "key")
            (place / "folder").symlink_to(world.folder)
        (left / "tmp" / "closed").chmod(0o300)
        trap = temporary / f"{confined.PREFIX}trap"
        trap.symlink_to(world.folder)
        os.close(lock)
        confined.sweep()
        assert os.listdir(temporary) == [trap.name] and world.untouched() != touches
        trap.unlink()


# What a program may leave in a box that the next one would find.
MARKS = (
    "os.chmod('/tmp', 0o500)",
    "os.chmod('/tmp', 0)",
    "os.setxattr('/tmp', 'user.mark', b'x')",
    "os.chmod('/dev/shm', 0o500)",
    "os.open('/proc/sys/kernel/sem', os.O_WRONLY)",
)
LOOK = """
import os
found = [oct(os.stat(folder).st_mode) for folder in ("/tmp", "/dev/shm")] + os.listxattr("/tmp")
open("/tmp/own", "w").close()
os.unlink("/tmp/own")
def f(x): return x * 2 if found == ["0o40755", "0o40755"] else found
"""


@pytest.mark.parametrize("tier", TIERS[:1], indirect=True, scope="module")
def test_nothing_is_left_for_the_next_program(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "import os\ntry:\n    {}\nexcept OSError:\n    pass\ndef f(x): return x * 2\n"
    codes = [code for line in MARKS for code in (mark.format(line), LOOK)]
    programs = [{"id": str(n), "code": code, "tests": "assert f(2) == 4, f(2)"} for n, code in enumerate(codes)]
    assert {v["verdict"] for v in sandbox.run_programs(programs, SHORT, workers=1, again=False)} == {"pass"}

    def kept(self: Box, *values: Any, run: Any = Box.run) -> dict[str, Any]:
        answer = run(self, *values)
        self.dirty = False
        return answer

    monkeypatch.setattr(Box, "run", kept)
    assert {v["verdict"] for v in sandbox.run_programs(programs, SHORT, workers=1, again=False)} != {"pass"}


# ---- what is refused ------------------------------------------------------------------------------------------------


def refusal() -> str:
    """The complaint with which no sandbox starts, in one line."""
    tiers.working.cache_clear()
    with pytest.raises(StudyError, match="no working sandbox") as caught:
        sandbox.check()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def again() -> Iterator[None]:
    """Tiers are probed anew before and after a test."""
    tiers.working.cache_clear()
    yield
    tiers.working.cache_clear()


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_a_landlock_that_is_older_than_the_rules_is_refused(
    again: None, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses a right that it does not know; the box must not go on without it (OpenShell #584)."""
    monkeypatch.setenv("STUDY_SANDBOX", "landlock")
    assert sandbox.check().startswith("landlock")
    newer = ("landlock.py", "5: (1 << 16) - 1", "5: (1 << 62) - 1")
    for how in ([newer], [newer, UNRESTRICTED, ("landlock.py", '_call("syscall", CREATE_RULESET, ', "(")]):
        with monkeypatch.context() as patch:  # as it is; and as a version that goes on without: the probe sees that
            weaken(how, world, tmp_path, patch)
            assert "landlock: " in refusal()
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert "this kernel has no Landlock" in refusal()


def test_without_a_filter_no_tier_starts(again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_SANDBOX", "")
    assert sandbox.check()
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert "no filter of system calls is known for this machine's architecture, riscv64" in refusal()


def test_a_setuid_bubblewrap_is_not_used(again: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-41163 needs one: its rights are root's whoever starts it."""
    real = next(box.candidates())
    copy = Path(shutil.copy(real, tmp_path / "bwrap"))
    monkeypatch.setenv("STUDY_SANDBOX", "bubblewrap")
    monkeypatch.setattr(tiers, "candidates", lambda: iter((copy, real)))
    copy.chmod(0o4755)
    assert copy.stat().st_mode & stat.S_ISUID
    assert tiers.working()[0].args == (real,)  # type: ignore[attr-defined]
    monkeypatch.setattr(tiers, "candidates", lambda: iter((copy,)))
    assert "it is setuid" in refusal()
    copy.chmod(0o755)
    assert "it is setuid" not in complaint()


def complaint() -> str:
    """The complaint, if any: a copy of bubblewrap may lack its libraries."""
    tiers.working.cache_clear()
    try:
        return sandbox.check()
    except StudyError as error:
        return str(error)


# ---- a harness that cannot be held --------------------------------------------------------------------------------


def test_output_that_a_program_takes_back_does_not_hold_the_harness() -> None:
    """A program can read its own output again, between the harness's look at the pipe and its reading."""
    channel, control = socket.socketpair()
    output, end = os.pipe()
    limits = dataclasses.asdict(Limits()) | {"wall_seconds": 1.0, "scale": 1.0}
    watch = harness.Watch(os.getpid(), channel, output, control, limits)
    reading = Thread(target=watch.drain, daemon=True)
    reading.start()
    reading.join(10)
    held = reading.is_alive()
    os.write(end, b"x")
    reading.join()
    assert not held
    for descriptor in (output, end):
        os.close(descriptor)
    for one in (channel, control):
        one.close()
