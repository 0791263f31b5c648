"""Build the interpreters that benchmarks need beside the study's own (standard library only).

`python benchmark_env.py install [NAME ...]` makes a virtual environment for each benchmarks/NAME.txt (all by default),
below STUDY_CACHE or ~/.cache/selfcodealign-study, that holds exactly this lock. With `lock` instead of `install`
(maintainers; needs `uv`) benchmarks/NAME.in is resolved into it. The pinned versions have wheels for Python 3.11, so
that is what is used: the one that PYTHON311 names, else this Python if it is one, else python3.11.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from install import HERE, pip_install

LOCKS = HERE / "benchmarks"
WANTED = "3.11"
REMEDY = "install one (uv python install 3.11, or conda create -n py311 python=3.11) and name it in PYTHON311"
COMPILE = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--only-binary", ":all:"]
COMPILE += ["--python-version", WANTED]


def folder(name: str) -> Path:
    """Return where the environment of a benchmark lies; `lib.evaluate.environments` looks for it there."""
    cache = Path(os.environ.get("STUDY_CACHE") or Path.home() / ".cache" / "selfcodealign-study").expanduser()
    return cache / "environments" / name


def names(given: list[str], ending: str) -> list[str]:
    """Return the benchmarks to work on: those given, else all that have a file; exits for one without."""
    known = sorted(path.stem for path in LOCKS.glob(f"*{ending}"))
    if unknown := [name for name in given if name not in known]:
        have = ", ".join(known) or "none: `make benchmark-lock` writes them (it needs uv and the network)"
        sys.exit(f"benchmark-env: there is no {LOCKS.name}/{unknown[0]}{ending}; there are {have}")
    if not known:
        sys.exit(f"benchmark-env: {LOCKS} has no lock: `make benchmark-lock` writes them (it needs uv and the network)")
    return given or known


def python() -> str:
    """Return a Python of the wanted version; exits with what to do when there is none."""
    for found in (os.environ.get("PYTHON311"), sys.executable, shutil.which(f"python{WANTED}")):
        asked = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
        if found and shutil.which(found):
            said = subprocess.run([found, "-c", asked], capture_output=True, text=True).stdout
            if said.strip() == WANTED:
                return found
    sys.exit(f"benchmark-env: the locks have wheels for Python {WANTED}, and there is none here: {REMEDY}")


def stamp(name: str) -> Path:
    """Return the file that says: this environment holds this lock."""
    return folder(name) / f".installed-{hashlib.sha256((LOCKS / f'{name}.txt').read_bytes()).hexdigest()[:12]}"


def install(name: str) -> None:
    """Make a benchmark's environment anew unless it holds its lock; exits when pip fails."""
    if stamp(name).exists():
        return
    began, place = time.monotonic(), folder(name)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([python(), "-m", "venv", str(place)], check=True)
    requirements = [(LOCKS / f"{name}.txt").read_text()]
    print(f"benchmark-env: {name} into {place}", flush=True)
    if not pip_install(place / "bin" / "python", requirements, "--only-binary=:all:"):
        sys.exit(f"benchmark-env: pip could not install {name} (see above): check the network and `pip config list`")
    # compiled now: boxes cannot write, and would compile every module again
    words = [place / "bin" / "python", "-m", "compileall", "-q", "-j0", place / "lib"]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)  # of a few files for other Pythons it fails
    stamp(name).touch()
    print(f"benchmark-env: {name} is ready after {time.monotonic() - began:.0f} s", flush=True)


def lock(name: str) -> None:
    """Resolve a benchmark's requirements into its lock, with the hashes of all wheels."""
    subprocess.run([*COMPILE, "--output-file", f"{name}.txt", f"{name}.in"], cwd=LOCKS, check=True)
    print(f"{name}.txt: {(LOCKS / f'{name}.txt').read_text().count('==')} packages")


def main(what: str, *given: str) -> None:
    """Install or lock what is given."""
    for name in names([*given], ".txt" if what == "install" else ".in"):
        (install if what == "install" else lock)(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
