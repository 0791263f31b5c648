"""What tests share: the runner as a reader calls it, processes and who is below them, functions to curate."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from huggingface_hub import constants

from lib.core.paths import ROOT

# The first that there is of the browsers that these tests know.
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


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


def below(pid: int, title: str) -> list[int]:
    """Return the pids of the running processes below one whose command line has `title`."""
    return [child for child in descendants(pid) if alive(child) and title in _command_line(child)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it ended meanwhile
        return ""


def kill_nine(process: subprocess.Popen[str]) -> list[int]:
    """Kill a process with -9 as a memory killer would; return the pids that were below it."""
    below = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return below


def lines(path: Path) -> list[bytes]:
    """Return the lines of a file, none when it does not exist."""
    return path.read_bytes().splitlines() if path.exists() else []


def wait_for_lines(process: subprocess.Popen[str], path: Path, count: int, seconds: float) -> None:
    """Wait until a journal has `count` lines while the run goes on."""
    deadline = time.monotonic() + seconds
    while len(lines(path)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, process.stdout and process.stdout.read()
    assert len(lines(path)) >= count


def wait_until_gone(pids: list[int], seconds: float = 30) -> None:
    """Wait until none of these processes runs."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"left over: {left}"


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


def in_browser(address: str) -> str:
    """Return a page's HTML as a browser has it after its scripts have run, without them; fail if one of them failed."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    options += ["--virtual-time-budget=8000"]
    done = subprocess.run([BROWSER, *options, address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Uncaught" not in done.stderr, done.stderr
    return re.sub(r"<(script|style)\b.*?</\1>", "", done.stdout, flags=re.DOTALL)


@contextmanager
def local_hub(handler: type[BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client of the Hugging Face hub asks a server on this machine, which answers with this handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield
    server.shutdown()
    server.server_close()
