"""The interpreters of benchmarks: found where they are built, refused when they are missing or of another lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.evaluate import environments
from lib.evaluate.data import Missing
from lib.evaluate.environments import LOCKS, python_of

TOOL = ROOT / "requirements" / "benchmark_env.py"


def tool(cache: Path, code: str) -> str:
    """What a line of Python prints beside the tool that builds the environments."""
    words = [sys.executable, "-c", f"import benchmark_env as tool\n{code}"]
    environment = os.environ | {"STUDY_CACHE": str(cache), "PYTHONPATH": str(TOOL.parent)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of our own, with one package, which is none."""
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OWN_PYTHON", raising=False)
    monkeypatch.setattr(environments, "LOCKS", tmp_path)
    (tmp_path / "own.txt").write_text("# nothing\n")
    return tmp_path


def test_an_environment_is_looked_for_where_it_is_built(locks: Path) -> None:
    with pytest.raises(
        Missing, match="which are not installed: run `make benchmark-env`, or name a Python .* OWN_PYTHON"
    ):
        python_of("own")
    place = locks / "cache" / "environments" / "own"
    assert tool(locks / "cache", "print(tool.folder('own'))") == str(place)
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    with pytest.raises(StudyError, match="from another lock, or not to the end"):
        python_of("own")
    stamp = tool(locks / "cache", f"tool.LOCKS = tool.Path({str(locks)!r})\nprint(tool.stamp('own'))")
    Path(stamp).touch()
    assert python_of("own") == str(place / "bin" / "python")
    (locks / "own.txt").write_text("# something\n")
    with pytest.raises(StudyError, match="from another lock"):
        python_of("own")


def test_a_python_can_be_named(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_PYTHON", sys.executable)
    assert python_of("own") == sys.executable
    monkeypatch.setenv("OWN_PYTHON", "/nowhere/python")
    with pytest.raises(StudyError, match="OWN_PYTHON is '/nowhere/python', which is no file"):
        python_of("own")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["install", "apps"], "there is no benchmarks/apps.txt"),
        (["lock", "apps"], "there is no benchmarks/apps.in; there are canitedit, classeval, ds1000"),
    ],
)
def test_an_unknown_environment_is_refused_in_one_line(words: list[str], complaint: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, TOOL, *words], capture_output=True, text=True)
    assert done.returncode == 1 and complaint in done.stderr and done.stderr.count("\n") == 1


def test_what_is_installed_is_named_exactly_or_bounded() -> None:
    """The versions that benchmarks fix are pinned; a lock, where there is one, has a hash for every package."""
    for name in ("ds1000", "classeval", "canitedit"):
        wanted = [line for line in (LOCKS / f"{name}.in").read_text().splitlines() if line and line[0] != "#"]
        assert "numpy==1." in " ".join(wanted) and len(wanted) == len(set(wanted))
        lock = LOCKS / f"{name}.txt"
        for entry in lock.read_text().split("\n\n") if lock.is_file() else ():
            assert entry.count("==") <= entry.count("--hash=sha256:")
