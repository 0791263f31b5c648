"""Make a virtual environment that holds exactly the lock: `python install.py cpu|gpu FOLDER` (standard library only).

Nothing is resolved: the lock is complete and installed with --no-deps. A stamp named after the lock's hash is written
last; without it the folder is made anew, so an interrupted installation or a changed lock never leaves a mixture.
"""

import hashlib
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
PIP = ["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--progress-bar=off"]
# Three packages are source only: build them with the locked setuptools, not with the newest of the day.
BUILD = ["--no-build-isolation", "--use-pep517"]


def stamp_of(device: str, folder: Path) -> Path:
    """Return the file that says: this folder holds this lock, for this checkout and this Python."""
    facts = (HERE / f"{device}.lock").read_bytes() + f"{HERE} {platform.python_version()}".encode()
    return folder / f".installed-{device}-{hashlib.sha256(facts).hexdigest()[:12]}"


def pip_install(python: Path, arguments: list[str], total: int = 0) -> bool:
    """Run pip, print a line every 15 s, show pip's errors; return whether it succeeded."""
    began = said = time.monotonic()
    found, output = 0, []
    command = [str(python), *PIP, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            output.append(line)
            found += line.startswith(("Collecting", "Processing"))
            if total and (time.monotonic() - said > 15 or line.startswith("Installing collected")):
                said = time.monotonic()
                step = "unpacking all" if line.startswith("Installing collected") else "fetching"
                print(f"set-up: {step}, {found}/{total} packages, {said - began:.0f} s", flush=True)
    if pip.returncode:
        print("".join(line for line in output if line.startswith("ERROR")) or "".join(output[-5:]), file=sys.stderr)
    return pip.returncode == 0


def install(device: str, folder: Path) -> None:
    """Fill `folder` from the lock of `device`; exits with a line on what to do when a package cannot be had."""
    lock = HERE / f"{device}.lock"
    lines = [line for line in lock.read_text().splitlines() if line[:1] not in ("", "#")]
    if folder.resolve() == HERE.parent / ".venv" or not folder.exists():
        venv.create(folder, with_pip=True, clear=True)  # anyone else's environment is filled as it is, never emptied
    python = folder / "bin" / "python"
    torch = next(line for line in lines if line.startswith("torch=="))
    setuptools = next(line for line in lines if line.startswith("setuptools=="))
    print(f"set-up: {len(lines)} packages into {folder} (a few minutes, once)", flush=True)
    # The second index is for torch alone: pip would ask it for every package.
    second = ["--extra-index-url", TORCH_CPU_INDEX, "--retries=1"]
    found = pip_install(python, [torch])
    if not found:
        print(f"set-up: trying PyTorch's own index, {TORCH_CPU_INDEX}", flush=True)
    if not (found or pip_install(python, [torch, *second])):
        sys.exit(
            f"set-up: {torch} cannot be had from pip's index nor from {TORCH_CPU_INDEX}. Put its wheel for this Python "
            f"({platform.python_version()}) into a folder, set PIP_FIND_LINKS to that folder and run again."
        )
    if not (pip_install(python, [setuptools]) and pip_install(python, ["-r", str(lock), *BUILD], total=len(lines))):
        sys.exit("set-up: pip could not install the lock (see above). Check the network and `pip config list`.")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    (packages / "selfcodealign_study.pth").write_text(f"{HERE.parent}\n")  # makes `lib` importable from anywhere


def main(device: str, folder: Path) -> None:
    """Install unless the stamp says it is done."""
    stamp = stamp_of(device, folder)
    if stamp.exists():
        return
    began = time.monotonic()
    install(device, folder)
    for old in folder.glob(".installed-*"):
        old.unlink()
    stamp.touch()
    print(f"set-up: done in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
