"""Checks this machine, one line per requirement; exit status 1 when a necessary check fails."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from lib import sandbox
from lib.core import models
from lib.core.cli import FAILED, command
from lib.core.paths import ROOT, cache_folder, runs_folder
from lib.core.records import StudyError
from lib.runner.plan import hardware

MODEL = "qwen2.5-coder-0.5b-instruct"  # what the laptop profile runs
DISK_GB = 6  # the model while it is converted, the corpus and one run at its largest
MEMORY_GB = 12  # the study's stated bound
PROBE = "six==1.17.0"  # a tiny package of the lock, to see whether pip's index answers


class Advice(Exception):
    """A failed check; the message says what to do. Where it is not `necessary`, the study runs all the same."""

    def __init__(self, message: str, necessary: bool = True):
        super().__init__(message)
        self.necessary = necessary


def lock_lines(lock: str) -> list[Requirement]:
    """Return the requirements of a lock (run, gpu, replay or dev) that apply to this Python and machine."""
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    wanted = [Requirement(line.removesuffix("\\")) for line in lines if line[:1] not in ("", "#", " ")]
    return [one for one in wanted if one.marker is None or one.marker.evaluate()]


def installed_lock() -> str:
    """Return the name of the lock that this environment was made from, seen by its largest packages."""
    return "gpu" if version_of("vllm") else "run" if version_of("torch") else "replay"


def version_of(name: str) -> str | None:
    """Return an installed distribution's version, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def matches(wanted: Requirement, version: str | None) -> bool:
    """Tell whether an installed version (None: not installed) is the one the lock asks for."""
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def python() -> str:
    """Check the interpreter's version."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Advice(f"{platform.python_version()}: make the environment with Python 3.11, 3.12 or 3.13")
    return f"{platform.python_version()} at {sys.executable}"


def packages() -> str:
    """Compare what is installed with the lock, and look for packages that must stay out."""
    lock = installed_lock()
    wanted = lock_lines(lock)
    found = {one.name: version_of(one.name) for one in wanted}
    off = [f"{one.name} {found[one.name]}" for one in wanted if not matches(one, found[one.name])]
    if off:
        raise Advice(f"{len(off)} differ from {lock}.lock ({', '.join(off[:3])}): remove it and run `make setup`")
    banned = re.findall(r"^([\w-]+);", (ROOT / "requirements" / "overrides.txt").read_text(), re.M)
    present = [name for name in banned if version_of(name)]
    if present:
        raise Advice(f"must not be installed (overrides.txt says why): pip uninstall {' '.join(present)}")
    return f"{len(wanted)} as in {lock}.lock" + (", for `make replay` only" if lock == "replay" else "")


def disk() -> str:
    """Check the free space where models and runs are written."""
    places = {"cache": cache_folder(), "runs": runs_folder()}
    free = {name: shutil.disk_usage(existing(path)).free / 1e9 for name, path in places.items()}
    if min(free.values()) < DISK_GB:
        raise Advice(
            f"{min(free.values()):.0f} GB free, {DISK_GB} wanted: make room, or move STUDY_CACHE or STUDY_RUNS"
        )
    return ", ".join(f"{room:.0f} GB free for {name}" for name, room in free.items())


def existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    return path if path.exists() else existing(path.parent)


def memory() -> str:
    """Check the machine's memory, or the container's limit where that is lower."""
    total = hardware.memory()
    if total < MEMORY_GB * 0.95e9:
        raise Advice(f"{total / 1e9:.0f} GB, {MEMORY_GB} wanted: close other programs or use PROFILE=smoke", False)
    return f"{total / 1e9:.0f} GB"


def cpu() -> str:
    """Report the cores and whether the CPU multiplies bf16 itself."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    bf16 = "bf16" if re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) else "no bf16 (slower)"
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        raise Advice(f"{cores} core, {bf16}: the laptop profile's times are for 2 cores", False)
    return f"{cores} cores, {bf16}"


def box() -> str:
    """Run a program in the sandbox, and say how to get the stronger kind where there is one."""
    tier = sandbox.check()
    if tier.startswith("landlock"):
        return f"{tier}, where programs can start no processes; for the first choice, {sandbox.REMEDY}"
    return tier


def gpu() -> str:
    """Report the GPU, and whether the environment can use it."""
    if installed_lock() == "replay":
        return "not used by `make replay`"
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    if found := hardware.found():
        name = f"there is a {found.gpu.name}"
        raise Advice(f"{name}, but this environment is for the CPU: run `make setup DEVICE=gpu`", False)
    return "none (not needed)"


def model() -> str:
    """Report whether the laptop profile's model is here, and check its hash if so."""
    if not models.is_cached(MODEL):
        return f"{MODEL} will be fetched ({models.EMBEDDED[MODEL].size / 1e6:.0f} MB)"
    return f"{MODEL} in {models.resolve(MODEL).path}"


def network() -> str:
    """Ask pip's index for a tiny package; needed only until packages, model and corpus are here."""
    flags = ["--no-deps", "--no-cache-dir", "--quiet", "--retries=0", "--timeout=10"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *flags, "--dest", folder, PROBE]
        try:
            answered = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        except subprocess.TimeoutExpired:
            answered = False
    if not answered:
        raise Advice("pip's index does not answer: see `pip config list`; only what is cached can be used", False)
    return "pip's index answers"


CHECKS: tuple[Callable[[], str], ...] = (python, packages, disk, memory, cpu, box, gpu, model, network)


def main() -> int:
    """Run every check and print its line; return FAILED when a necessary one failed, else 0."""
    failed = False
    for check in CHECKS:
        name = "sandbox" if check is box else check.__name__
        try:
            print(f"ok  {name:9} {check()}", flush=True)
        except (Advice, StudyError) as error:
            print(f"!!  {name:9} {error}", flush=True)
            failed |= getattr(error, "necessary", True)
    return FAILED if failed else 0


if __name__ == "__main__":
    command(main)
