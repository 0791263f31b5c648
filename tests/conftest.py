"""What the tests share: a folder of runs of their own, and the runner as a reader calls it."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lib.core.paths import ROOT


SHARED = ROOT.parent / "shared"  # benchmark data and programs that are on no package index; not every checkout has them
SLOW = os.environ.get("SLOW", "") not in ("", "0")
LEFT_OUT = {
    "shared": "need the data of ../shared, which is not beside this checkout",
    "slow": "only add certainty, by repetition or size: make test SLOW=1 runs them",
}
left_out = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config, items):
    """Leave out what cannot or need not run here; one line at the end says how much that was, and why."""
    absent = {"shared": not SHARED.is_dir(), "slow": not SLOW}
    reasons = [next((mark for mark in absent if absent[mark] and item.get_closest_marker(mark)), "") for item in items]
    config.stash[left_out] = {mark: reasons.count(mark) for mark in absent if mark in reasons}
    config.hook.pytest_deselected(items=[item for item, reason in zip(items, reasons, strict=True) if reason])
    items[:] = [item for item, reason in zip(items, reasons, strict=True) if not reason]


def pytest_terminal_summary(terminalreporter, config):
    for mark, count in config.stash.get(left_out, {}).items():
        terminalreporter.write_line(f"{count} tests left out: they {LEFT_OUT[mark]}")


class Runner:
    """Runs `python -m lib.runner.run` in a folder of runs that belongs to one test."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.folder = folder

    def profile(self, name: str, sections: dict) -> str:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(sections))
        return str(path)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"STUDY_RUNS": str(self.runs)}
        command = [sys.executable, "-m", "lib.runner.run", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def run(self, *arguments: str) -> str:
        """Run to the end; return what was printed, or fail with it."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def fail(self, *arguments: str) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 2, output
        return output


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny model of tests/tiny.py, as lib.core.models would resolve it."""
    import torch
    from tiny import make  # here, because most tests need no torch

    torch.set_num_threads(1)  # a model this small only loses by sharing its work
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


def descendants(pid: int) -> list[int]:
    """Return the process ids below a process, the process itself not among them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, todo = [], [pid]
    while todo:
        children = [child for child, parent in parents.items() if parent == todo[-1]]
        todo.pop()
        found += children
        todo += children
    return found


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill_nine(process: subprocess.Popen[str]) -> list[int]:
    """Kill a process with -9 as a memory killer would; return the pids that were below it."""
    below = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return below


WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "omega", "sigma"]


def made_function(number: int) -> str:
    """Return a function that passes every rule and repeats no other."""
    rng = random.Random(number)
    a, b, c, d = rng.sample(WORDS, 4)
    return f'''def {a}_{b}_{number}({c}, {d}):
    """Combine {c} with every {d} in the {a} of {b}, in order."""
    {a} = [{rng.randrange(99)} * item + {c} for item in {d}]
    return sorted({a}, key=lambda item: item % {rng.randrange(2, 99)})
'''
