"""Make a virtual environment that holds exactly a lock (standard library only).

`python install.py run|gpu|replay [dev] [docs] FOLDER`: run for a machine without a GPU, gpu with CUDA, replay without a
model; dev adds what the tests need, docs what the site needs. Nothing is resolved: a lock is complete, is installed
with --no-deps, and has the hash of every file. A stamp named after the lock's hash is written last; without it the
folder is made anew, so an interrupted installation or a changed lock never leaves a mixture.
"""

import hashlib
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
# A package is compiled when it is first imported (--no-compile): that saves minutes and a sixth of the disk space.
PIP = ["-m", "pip", "install", "--no-deps", "--require-hashes", "--no-compile"]
PIP += ["--disable-pip-version-check", "--progress-bar=off"]
# Packages that come as source only are built with the locked setuptools, not with the newest of the day.
BUILD = ["--no-build-isolation", "--use-pep517"]


def entries(lock: str) -> list[str]:
    """Return the requirements of a lock, each with the lines of its hashes."""
    return re.findall(r"^\w.*(?:\n +--hash.*)+\n", (HERE / f"{lock}.lock").read_text(), re.M)


def stamp_of(lock: str, folder: Path) -> Path:
    """Return the file that says: this folder holds this lock, for this checkout and this Python."""
    facts = (HERE / f"{lock}.lock").read_bytes() + f"{HERE} {platform.python_version()}".encode()
    return folder / f".installed-{lock}-{hashlib.sha256(facts).hexdigest()[:12]}"


def pip_install(python: Path, requirements: Sequence[str], *options: str) -> bool:
    """Install requirements with pip, printing its progress and its errors; return whether it succeeded."""
    began = said = time.monotonic()
    found, step, output = 0, "fetching", []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(requirements))
        file.flush()
        command = [str(python), *PIP, *options, "-r", file.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
            for line in pip.stdout or ():
                output.append(line)
                found += line.startswith(("Collecting", "Processing", "Ignoring"))
                unpacking = line.startswith("Installing collected")
                step = "unpacking" if unpacking else step
                if len(requirements) > 1 and (time.monotonic() - said > 15 or unpacking):
                    said = time.monotonic()
                    print(f"set-up: {step}, {found}/{len(requirements)} packages, {said - began:.0f} s", flush=True)
    if pip.returncode:
        first = next((number for number, line in enumerate(output) if line.startswith("ERROR")), -5)
        print("".join(output[first:]), end="", file=sys.stderr)
    return pip.returncode == 0


def install_torch(python: Path, requirement: str) -> None:
    """Install torch, from PyTorch's own index where pip's lacks the build; exits with what to do if neither has it."""
    if pip_install(python, [requirement]):
        return
    print(f"set-up: trying PyTorch's own index, {TORCH_CPU_INDEX}", flush=True)
    # The second index is for torch alone: pip would ask it for every package.
    if not pip_install(python, [requirement], "--extra-index-url", TORCH_CPU_INDEX, "--retries=1"):
        build = requirement.split()[0]
        sys.exit(
            f"set-up: {build} cannot be had from pip's index nor from {TORCH_CPU_INDEX}: put its wheel for this Python "
            f"({platform.python_version()}) into a folder, set PIP_FIND_LINKS to that folder and run again."
        )


def install(lock: str, python: Path) -> None:
    """Install a lock beside what the environment of `python` holds; exits with what to do when pip fails."""
    wanted = entries(lock)
    print(f"set-up: {len(wanted)} packages of {lock}.lock into {python.parent.parent}", flush=True)
    torch = [one for one in wanted if re.match(r"torch==\S+\+cpu", one)]
    for requirement in torch:
        install_torch(python, requirement)
    tools = [one for one in wanted if one.startswith("setuptools==")]
    rest = [one for one in wanted if one not in torch + tools]
    if not all(pip_install(python, some, *BUILD) for some in (tools, rest) if some):
        sys.exit("set-up: pip could not install the lock (see above): check the network and `pip config list`")


def make(lock: str, folder: Path) -> None:
    """Install a lock into `folder`; the repository's own environment, .venv, is emptied first."""
    if folder.resolve() == HERE.parent / ".venv" or not folder.exists():
        venv.create(folder, with_pip=True, clear=True)  # any other environment keeps what it holds
    python = folder / "bin" / "python"
    install(lock, python)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    (packages / "selfcodealign_study.pth").write_text(f"{HERE.parent}\n")  # makes `lib` importable from anywhere


def main(lock: str, folder: Path, beside: Sequence[str] = ()) -> None:
    """Install what has no stamp yet. An environment that holds the run or gpu lock serves for replay as it is."""
    if lock == "replay":
        lock = next((larger for larger in ("gpu", "run") if any(folder.glob(f".installed-{larger}-*"))), lock)
    for wanted in (lock, *beside):
        stamp = stamp_of(wanted, folder)
        if stamp.exists():
            continue
        began = time.monotonic()
        for old in folder.glob(f".installed-{wanted}-*" if wanted in beside else ".installed-*"):
            old.unlink()
        if wanted in beside:
            install(wanted, folder / "bin" / "python")
        else:
            make(wanted, folder)
        stamp.touch()
        print(f"set-up: done in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[-1]), sys.argv[2:-1])
