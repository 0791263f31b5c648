"""The type check with the real checker: verdicts, other packages, batches that hang, resuming, nothing left running."""

import os
import sys
import time
import venv
from pathlib import Path

import pytest

from lib.core.notebooks import ODD
from lib.core.records import Journal, StudyError
from lib.corpora.source import SourceFile
from lib.curate import rules, type_check
from lib.curate.extract import functions, seed
from lib.curate.imports import import_header

CLEAN = 'import math\n\n\ndef area(r: float) -> float:\n    """Area of a circle."""\n    return math.pi * r * r'
WRONG = 'def length(text: str) -> int:\n    """Length of a text."""\n    return text + 1'
FOREIGN = 'from no_such_package import g\n\n\ndef f(x):\n    """Call g."""\n    return g(x)'
CUT_OFF = 'def f(x):\n    """Call a helper of its module."""\n    return helper(x)'
UNTYPED = 'def f(x, y=None):\n    """Add two things, of a type that only the caller knows."""\n    return x.total + y'
WARNED = 'def f(x):\n    """Split at dots."""\n    return x.split("\\.")'

MISUSED = 'from no_such_package import g\n\n\ndef f(x):\n    """Call g with a text."""\n    return g("text")'
# As the paper's first example (listing 1) does, with other words.
ONE_HOT = '''import torch

SIZE = 10


def one_hot(labels: torch.Tensor, classes: int, on: float = 1.0) -> torch.Tensor:
    """Return a row for each label, zeros but for `on` in the label's column.

    `labels` has whole numbers below `classes`.
    """
    rows = torch.zeros(labels.size(0), classes, device=labels.device)
    return rows.scatter_(1, labels.long().view(-1, 1), on)
'''


def seeds(*codes: str) -> list[dict]:
    return [{"id": f"seed{number}", "code": code} for number, code in enumerate(codes)]


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "typecheck.jsonl") as opened:
        yield opened


@pytest.fixture
def hanging(monkeypatch):
    """The real checker, except that it and a child process hang on a folder with HANG in its code."""
    wrapper = (
        "import pathlib, subprocess, sys, time\n"
        "files = pathlib.Path(sys.argv[-1]).glob('*.py')\n"
        "if any('HANG' in file.read_text() for file in files):\n"
        "    subprocess.run(['sleep', '1234.5'])\n"
        "sys.exit(subprocess.run(sys.argv[1:]).returncode)\n"
    )
    real = type_check.command
    monkeypatch.setattr(type_check, "command", lambda folder: [sys.executable, "-c", wrapper, *real(folder)])


def sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"1234.5" in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_errors_are_found_and_clean_code_is_kept(journal: Journal) -> None:
    found = type_check.check(seeds(CLEAN, WRONG, FOREIGN, CUT_OFF, WARNED, CLEAN), journal, workers=2)
    assert [key for key, errors in found.items() if not errors] == ["seed0", "seed4", "seed5"]
    assert all(error.startswith("line 3: ") for error in found["seed1"])
    assert any("reportOperatorIssue" in error for error in found["seed1"])
    assert found["seed2"] == ['line 1: Import "no_such_package" could not be resolved (reportMissingImports)']
    assert found["seed3"] == ['line 3: "helper" is not defined (reportUndefinedVariable)']


def test_plain_pyright_s_strictness_is_used_and_nothing_of_this_repository(journal: Journal) -> None:
    found = type_check.check(seeds("import vllm\n" + CLEAN, UNTYPED.replace("y=None", "y")), journal, workers=1)
    assert len(found["seed0"]) == 1  # an installed package does not resolve: verdicts are the same on every machine
    assert found["seed1"] == []  # untyped parameters are not errors


def installed(folder: Path, version: str) -> str:
    """Make an environment that has the package which FOREIGN imports; return its path."""
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "no_such_package.py").write_text("def g(x: int) -> int:\n    return x\n")
    facts = packages / f"no_such_package-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: no-such-package\nVersion: {version}\n")
    return str(folder)


def test_imports_resolve_to_the_packages_of_an_environment(journal: Journal, tmp_path: Path) -> None:
    environment = type_check.find_environment(installed(tmp_path / "an environment", "1.0"))
    found = type_check.check(seeds(CLEAN, FOREIGN, MISUSED, "import torch\n" + CLEAN), journal, 1, environment)
    assert found["seed0"] == found["seed1"] == []
    assert "reportArgumentType" in found["seed2"][0]  # the package's own types are read
    assert found["seed3"] == ['line 1: Import "torch" could not be resolved (reportMissingImports)']


def test_verdicts_of_one_environment_are_not_those_of_another(journal: Journal, tmp_path: Path, monkeypatch) -> None:
    started = []
    real = type_check.command
    monkeypatch.setattr(type_check, "command", lambda folder: started.append(folder) or real(folder))
    paths = [installed(tmp_path / name, version) for name, version in (("a", "1.0"), ("b", "1.0"), ("c", "2.0"))]
    paths.insert(1, str(Path(paths[0]) / "bin" / "python"))
    found = [type_check.find_environment(path) for path in ("", *paths)]
    verdicts = [type_check.check(seeds(FOREIGN), journal, 1, environment)["seed0"] for environment in found]
    assert [bool(errors) for errors in verdicts] == [True, False, False, False, False]
    assert len(started) == len(journal) == 3  # without packages, with version 1.0, with version 2.0
    assert found[0] is None and found[1] == found[2]
    assert found[1] and found[1].packages == ("no-such-package 1.0",)


def test_the_paper_s_first_example_passes_where_torch_is_installed(journal: Journal) -> None:
    (function,) = functions(SourceFile("made-up", "1.0", "MIT", "module.py", ONE_HOT.encode()))
    assert all(rule(function) for rule in rules.rule_set("official", 1, 150, 10**6, 0).values())
    record = seed(function, import_header(function))
    assert record["code"].startswith("import torch\n\n\ndef one_hot(")
    environment = type_check.find_environment("study")
    assert environment == type_check.find_environment(sys.executable)
    assert environment and any(package.startswith("torch 2") for package in environment.packages)
    assert type_check.check([record], journal, 1, environment) == {record["id"]: []}
    assert "could not be resolved" in type_check.check([record], journal, 1)[record["id"]][0]


@pytest.mark.parametrize("name", ["/no/such/folder", "python3", "empty", "text", "runs", os.devnull, "false", "\0"])
def test_what_is_no_environment_is_refused_in_one_line(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("torch==2.1.2\n")
    for script, code in (("runs", "#!/bin/sh\necho 3\n"), ("false", "#!/bin/sh\nexit 1\n")):
        (tmp_path / script).write_text(code)
        (tmp_path / script).chmod(0o755)
    with pytest.raises(StudyError, match='^CHECK_WITH=.* is no Python environment .*; give .*"study" for this') as said:
        type_check.find_environment(name)
    assert not ODD.search(str(said.value))


def test_variables_of_the_user_change_no_environment(tmp_path: Path, monkeypatch) -> None:
    before = type_check.find_environment("study")
    installed(tmp_path / "other", "1.0")
    (packages,) = (tmp_path / "other").glob("lib/python3*/site-packages")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    assert type_check.find_environment("study") == before


def test_what_the_journal_holds_is_not_checked_again(journal: Journal, monkeypatch) -> None:
    first = type_check.check(seeds(CLEAN, WRONG), journal, workers=1)
    started = []
    real = type_check.command
    monkeypatch.setattr(type_check, "command", lambda folder: started.append(folder) or real(folder))
    assert type_check.check(seeds(CLEAN, WRONG), journal, workers=1) == first
    assert not started
    assert type_check.check(seeds(WRONG, CUT_OFF), journal, workers=1)["seed0"] == first["seed1"]
    assert len(started) == 1
    assert len(journal) == 3


def test_verdicts_depend_on_neither_batches_nor_workers(tmp_path: Path) -> None:
    codes = [CLEAN, WRONG, FOREIGN, CUT_OFF, UNTYPED, WARNED]
    found = []
    for number, (workers, batch) in enumerate([(1, 100), (3, 1), (2, 4)]):
        with Journal(tmp_path / f"{number}.jsonl") as journal:
            found.append(type_check.check(seeds(*codes), journal, workers, batch=batch))
    assert found[0] == found[1] == found[2]


def test_a_batch_that_times_out_is_split_down_to_the_function_at_fault(journal: Journal, hanging: None) -> None:
    slow = CLEAN + "  # HANG"
    found = type_check.check(seeds(WRONG, slow), journal, workers=2, timeout=8.0)
    assert "reportOperatorIssue" in str(found["seed0"])
    assert found["seed1"] == [type_check.TIMED_OUT]
    assert not sleepers()


def test_an_interruption_leaves_no_process_and_no_folder(journal: Journal, hanging: None, monkeypatch) -> None:
    folders = []
    real = type_check.command
    monkeypatch.setattr(type_check, "command", lambda folder: folders.append(folder) or real(folder))
    slept = time.sleep

    def interrupt(seconds: float) -> None:
        slept(seconds)
        if sleepers():
            raise KeyboardInterrupt

    monkeypatch.setattr(type_check.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        type_check.check(seeds(CLEAN, WRONG + "  # HANG"), journal, workers=2)
    deadline = time.monotonic() + 30
    while sleepers() and time.monotonic() < deadline:  # on a busy machine a killed process takes a moment to end
        slept(0.05)
    assert not sleepers()
    assert len(folders) == 2
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("checker", [["false"], ["echo", "no JSON"], ["/no/such/node"], ["echo", "{}"]])
def test_a_broken_checker_stops_the_study_with_a_remedy(journal: Journal, monkeypatch, checker: list[str]) -> None:
    monkeypatch.setattr(type_check, "command", lambda folder: checker)
    with pytest.raises(StudyError, match="type checker failed.*make setup"):
        type_check.check(seeds(CLEAN), journal, workers=1)
    assert len(journal) == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NODE_OPTIONS", "--no-such-option"),
        ("NODE_OPTIONS", "--require /no/such/file.js"),
        ("NODE_OPTIONS", "--max-old-space-size=1"),
        ("NODE_V8_COVERAGE", "coverage"),
        ("NODE_ICU_DATA", "/no/such/folder"),
        ("OPENSSL_CONF", "openssl.cnf"),
        ("GITHUB_ACTIONS", "true"),
        ("PYRIGHT_TMPDIR", "/no/such/folder"),
        ("VIRTUAL_ENV", "/no/such/folder"),
        ("PYTHONPATH", "/no/such/folder"),
        ("LC_ALL", "de_DE.UTF-8"),
    ],
)
def test_variables_of_the_user_do_not_reach_the_checker(
    journal: Journal, monkeypatch, tmp_path: Path, variable: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openssl.cnf").write_text("nodejs_conf = [nothing\n")
    monkeypatch.setenv(variable, value)
    found = type_check.check(seeds(CLEAN, FOREIGN), journal, workers=1)
    assert found["seed0"] == []
    assert found["seed1"] == ['line 1: Import "no_such_package" could not be resolved (reportMissingImports)']
    assert not (tmp_path / "coverage").exists()


def test_a_failure_names_its_cause_and_a_remedy_that_can_help(journal: Journal, monkeypatch) -> None:
    """A stack trace of node begins with its cause; `make setup` alone installs nothing anew."""
    real = type_check.command
    monkeypatch.setattr(type_check, "command", lambda folder: [real(folder)[0], "/no/such/index.js"])
    with pytest.raises(StudyError) as raised:
        type_check.check(seeds(CLEAN), journal, workers=1)
    message = str(raised.value)
    assert "exit status 1" in message and "Cannot find module '/no/such/index.js'" in message
    assert "make clean" in message and "\n" not in message


def test_a_machine_without_timeout_is_told(journal: Journal, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="`timeout` cannot be started .*; install GNU coreutils"):
        type_check.check(seeds(CLEAN), journal, workers=1)


def test_a_missing_checker_is_named(monkeypatch) -> None:
    monkeypatch.setattr(type_check.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match="lacks node, index.js"):
        type_check.command(Path(os.curdir))
