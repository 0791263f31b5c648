"""What a program is given and leaves: input, files, large data, whole programs, other interpreters; in both tiers."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from test_escapes import in_both_tiers, tier  # noqa: F401
from test_sandbox import SHORT, run

from lib import sandbox
from lib.core.records import Journal, StudyError
from lib.sandbox import Limits, by_reference, interpreters
from lib.sandbox.desk import MAX_KEPT

MIB = 1 << 20
OTHER = Limits(cpu_seconds=1, python=sys.executable, preload=("numpy",))


def whole(code: str, limits: Limits = SHORT, **fields: Any) -> dict[str, Any]:
    """The verdict on a whole program, which has no tests."""
    program = {"id": "x", "code": code, "tests": None, "output": True, **fields}
    (verdict,) = sandbox.run_programs([program], limits, workers=1)
    return verdict


# Code, its input, and what it prints as Python run from a shell would.
PRINTS = [
    ("print(int(input()) * 2)", "21\n", "42\n"),
    ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "1 2\n3", "6\n"),
    ("import sys\nprint(len(sys.stdin.buffer.readlines()))", "a\nb\n", "2\n"),
    ("import os\nprint(os.read(0, 3))", "abcdef", "b'abc'\n"),
    ("print(open(0).readline())", "é\n", "é\n\n"),
    ("if __name__ == '__main__':\n    print(input())", "x\n", "x\n"),
    ("import sys\nprint('all', end='')\nsys.exit()", "", "all"),
    ("import sys\nprint('out')\nprint('no output', file=sys.stderr)", "", "out\n"),
    ("import threading\nt = threading.Thread(target=lambda: print('thread'))\nt.start()", "", "thread\n"),
    ("import atexit\natexit.register(print, 'last')\nprint('first')", "", "first\nlast\n"),
    ("import io, sys\nsys.stdout = io.TextIOWrapper(open(1, 'wb', closefd=False))\nprint('own')", "", "own\n"),
    ("from __future__ import annotations\ndef f(x: Unknown): return x\nprint(f(1))", "", "1\n"),
    ("try:\n    input()\nexcept EOFError:\n    print('nothing')", "", "nothing\n"),
]


@in_both_tiers
def test_a_whole_program_reads_its_input_and_prints(tier: str) -> None:  # noqa: F811
    programs = [
        {"id": str(n), "code": code, "tests": None, "stdin": stdin, "output": True}
        for n, (code, stdin, _) in enumerate(PRINTS)
    ]
    found = list(sandbox.run_programs(programs, SHORT))
    assert [(v["verdict"], v["output"]) for v in found] == [("ended", output) for *_, output in PRINTS]


# Programs that do not come to their end; what they have printed until then is of no use to a caller who asks for that.
UNENDED = {
    "leaves": ("import os\nprint('42', flush=True)\nos._exit(0)", "cheat"),
    "fails": ("print('42')\nraise SystemExit(1)", "error"),
    "raises": ("print('42', flush=True)\n1 / 0", "error"),
    "loops": ("print('42', flush=True)\nwhile True: pass", "timeout"),
    "waits in a thread": ("import threading\nthreading.Thread(target=threading.Event().wait).start()", "timeout"),
    "floods": ("print('4' * 10**6)", "error"),
    "is no Python": ("print(", "error"),
    "reports an end of its own": (
        "import os, socket, stat, struct, json\nfor fd in range(3, 128):\n    try:\n"
        "        found = stat.S_ISSOCK(os.fstat(fd).st_mode)\n    except OSError:\n        continue\n"
        "    body = json.dumps({'nonce': '', 'held': [1]}).encode()\n"
        "    os.write(fd, struct.pack('>I', len(body)) + body)\n"
        "os._exit(0)",
        "ended",
    ),
}


@in_both_tiers
def test_a_program_without_an_end_has_another_verdict(tier: str) -> None:  # noqa: F811
    """A forged end is one, but of nothing that was printed; no verdict is a pass without tests."""
    programs = [{"id": name, "code": code, "tests": None, "output": True} for name, (code, _) in UNENDED.items()]
    found = {v["id"]: v for v in sandbox.run_programs(programs, Limits(cpu_seconds=0.3))}
    assert {name: found[name]["verdict"] for name in found} == {name: verdict for name, (_, verdict) in UNENDED.items()}
    assert found["reports an end of its own"]["output"] == ""


DEEP = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"
MOVED = "import os\nd = os.getcwd()\nos.chdir('..')\nos.rename(d, d + '2')\n"
# What a program leaves, of which only the plain files of its own folder are read back: code -> the texts found.
LEAVES = {
    "files": ("open('a', 'w').write('one')\nopen('b', 'w').write('two')", {"a": "one", "b": "two"}),
    "nothing": ("", {"a": None, "b": None}),
    "a link": ("import os\nos.symlink('/proc/self/status', 'a')\nos.symlink('in.txt', 'b')", {"a": None, "b": None}),
    "a second name": ("import os\nos.link('in.txt', 'a')", {"a": None, "b": None}),
    "a folder and a pipe": ("import os\nos.mkdir('a')\nos.mkfifo('b')", {"a": None, "b": None}),
    "too much": (f"open('a', 'wb').truncate({MAX_KEPT + 1})\nopen('b', 'w').write('2')", {"a": None, "b": "2"}),
    "another folder": (f"{MOVED}os.mkdir(d)\nopen(d + '/a', 'w').write('x')", {"a": None, "b": None}),
    "a link in the folder's place": (f"{MOVED}os.symlink('/usr', d)", {"a": None, "b": None}),
    "a deep one": (DEEP, {"a": None, "b": None}),
}  # fmt: skip


@in_both_tiers
def test_what_is_left_is_read_back_and_no_link_followed(tier: str) -> None:  # noqa: F811
    """Whatever one program does with the folder, the next one finds its own, and no other."""
    look = "import os\nprint(sorted(os.listdir()), open('in.txt').read(), len(os.listdir('..')))"
    fields = {"tests": None, "output": True, "files": {"in.txt": "given"}, "keep": ["a", "b"]}
    programs = []
    for name, (code, _) in LEAVES.items():
        programs += [{"id": name, "code": code, **fields}, {"id": f"after {name}", "code": look, **fields}]
    found = {v["id"]: v for v in sandbox.run_programs(programs, SHORT, workers=1)}
    for name, (_, texts) in LEAVES.items():
        left = {file: data and base64.b64decode(data).decode() for file, data in found[name]["left"].items()}
        assert left == texts, name
        assert found[f"after {name}"]["output"] == "['in.txt'] given 1\n", name


@in_both_tiers
def test_large_inputs_come_by_reference(tier: str, tmp_path: Path) -> None:  # noqa: F811
    """Several MiB of input, files and data of the tests; the response cannot see the data while it loads."""
    numbers = [*range(400_000)]
    (tmp_path / "numbers.json").write_text(json.dumps(numbers))
    given = by_reference(tmp_path / "numbers.json")
    assert (tmp_path / "numbers.json").stat().st_size > 2 * MIB
    limits = Limits(cpu_seconds=2)
    said = whole("import json\nprint(sum(json.loads(input())))", limits, stdin=given)
    assert said["output"] == f"{sum(numbers)}\n"
    said = whole("import json\nprint(sum(json.load(open('n'))))", limits, files={"n": given})
    assert said["output"] == f"{sum(numbers)}\n"
    tests = "import json\nassert total(json.loads(NUMBERS)) == int(TOTAL)"
    data = {"NUMBERS": given, "TOTAL": str(sum(numbers))}
    for code, expected in (
        ("def total(n): return sum(n)", "pass"),
        ("def total(n): return 0", "fail"),
        ("try:\n    right = int(TOTAL)\nexcept NameError:\n    right = 0\ndef total(n): return right", "fail"),
        ("def total(n):\n    global TOTAL\n    TOTAL = '0'\n    return 0", "cheat"),
    ):
        verdict = run(code, tests, limits, data=data)
        assert verdict["verdict"] == expected, verdict["detail"]


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_text("1")
    given = by_reference(file)
    file.write_text("2")
    with pytest.raises(StudyError, match="input has changed since programs were made of it"):
        whole("print(input())", stdin=given)
    file.unlink()
    with pytest.raises(StudyError, match="needs .*input, which cannot be read: No such file"):
        whole("print(input())", stdin=given)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "", ".x", "a\n", "é", "x" * 101])
def test_a_files_name_is_plain(name: str) -> None:
    for fields in ({"files": {name: ""}}, {"keep": [name]}):
        with pytest.raises(StudyError, match="a program's file is called"):
            whole("", **fields)


def test_more_than_the_folder_holds_is_refused() -> None:
    with pytest.raises(StudyError, match="raise files_mb of its limits above 1"):
        whole("", Limits(files_mb=1), files={"a": "x" * MIB})


def test_what_was_asked_for_is_in_the_answer_and_nothing_else() -> None:
    verdict = run("def f(x):\n    print('seen')\n    return x * 2")
    assert not verdict.keys() & {"output", "left", "report"}
    verdict = run("def f(x):\n    print('seen')\n    return x * 2", output=True)
    assert (verdict["verdict"], verdict["output"]) == ("pass", "seen\n")


def test_a_verdict_is_found_again_by_all_that_a_program_is_given(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        for fields in ({}, {"stdin": "1"}, {"stdin": "2"}, {"files": {"a": ""}}, {"data": {"A": ""}}, {"keep": ["a"]}):
            program = {"id": "x", "code": "print(1)", "tests": None, **fields}
            before = len(journal)
            for _ in range(2):
                list(sandbox.run_with_journal([program], journal, SHORT, 1))
            assert len(journal) == before + 1, fields


@in_both_tiers
def test_what_a_program_leaves_is_judged_where_it_has_never_been(tier: str) -> None:  # noqa: F811
    """With values that the first program cannot find; what it leaves is data, whatever it does besides."""
    judge = {
        "code": "secret = 6 * 7",
        "tests": "import base64\ngiven = int(base64.b64decode(answer))\ntold.store(given)\n",
    }
    judge["tests"] += "assert given == secret"
    judge |= {"report": "told"}
    put = "open('answer', 'w').write({})\n"
    looks = "import gc\nfound = [one for one in gc.get_objects() if type(one) is dict and 'secret' in one]\n"
    cases = {
        "right": (put.format("'42'"), "assert True or f", "pass", 42),
        "wrong": (put.format("'41'"), "", "fail", 41),
        "looks for it": (looks + put.format("str(len(found))"), "", "fail", 0),
        "fails, and is right": (put.format("'42'"), "assert False", "pass", 42),
        "ends itself": (put.format("'42'") + "import os\nos._exit(1)", "", "pass", 42),
        "leaves no number": (put.format("'secret'"), "", "fail", None),
        "leaves nothing": ("", "", None, None),
    }
    programs = [
        {"id": name, "code": code, "tests": tests, "keep": ["answer"], "apart": judge}
        for name, (code, tests, *_) in cases.items()
    ]
    for seen in sandbox.run_programs(programs, SHORT, workers=1, again=False):
        *_, verdict, report = cases[seen["id"]]
        apart = seen["apart"] or {"verdict": None, "report": None}
        assert (apart["verdict"], apart["report"]) == (verdict, report), seen
        assert "left" not in seen and (seen["verdict"] == "fail") == (seen["id"] == "fails, and is right")


# ---- other interpreters ---------------------------------------------------------------------------------------------


@in_both_tiers
def test_another_interpreters_packages_are_imported_once_for_each_box(tier: str) -> None:  # noqa: F811
    """All of its packages can be imported, the preloaded ones at once; a change to one reaches no other program."""
    seen = "import sys\nprint('numpy' in sys.modules, 'yaml' in sys.modules)\nimport yaml"
    said = whole(seen, OTHER)
    assert (said["verdict"], said["output"]) == ("ended", "True False\n")
    assert "yaml" in whole("import yaml")["detail"], "the study's own interpreter has none"
    code = "import numpy\ndef f(x): return numpy.array([x]) * 2"
    assert run(code, "assert f(2).tolist() == [4]", OTHER)["verdict"] == "pass"
    spoil = {"id": "1", "code": "import numpy\nnumpy.array = None\nnumpy.mark = 1", "tests": None}
    look = {
        "id": "2",
        "code": "import numpy\nprint(numpy.array, hasattr(numpy, 'mark'))",
        "tests": None,
        "output": True,
    }
    *_, after = sandbox.run_programs([spoil, look], OTHER, workers=1)
    assert after["output"] == "<built-in function array> False\n"


@in_both_tiers
def test_packages_cannot_be_changed_and_leave_nothing_in_the_box(tier: str) -> None:  # noqa: F811
    code = (
        "import numpy, os\nfolder = numpy.__path__[0]\nfor path in (folder + '/new', folder + '/version.py'):\n"
        "    try:\n        open(path, 'a')\n    except OSError:\n        continue\n    print('THROUGH', path)\n"
        "print(os.listdir(os.environ['HOME']))"
    )
    cached = Limits(cpu_seconds=1, python=sys.executable, preload=("matplotlib.font_manager",))  # writes a file at home
    assert whole(code, cached)["output"] == "[]\n"


def test_an_interpreter_that_is_none_is_refused(tmp_path: Path) -> None:
    false = tmp_path / "python"
    for text, mode in (("", 0o644), ("#!/bin/sh\nexit 1\n", 0o755), ("#!/bin/sh\necho '[]'\n", 0o755)):
        false.write_text(text)
        false.chmod(mode)
        interpreters.asked.cache_clear()
        with pytest.raises(StudyError, match="is no working Python: `make benchmark-env`"):
            interpreters.interpreter(str(false))
    false.write_text('#!/bin/sh\necho \'["/usr", [3, 8], "/x"]\'\n')
    interpreters.asked.cache_clear()
    with pytest.raises(StudyError, match=r"Python 3.8; the sandbox needs 3.11"):
        interpreters.interpreter(str(false))


def test_the_distributions_of_an_environment_identify_it() -> None:
    found = interpreters.installed(sys.executable)
    assert any(name.startswith("numpy-") for name in found) and interpreters.installed("") == []
