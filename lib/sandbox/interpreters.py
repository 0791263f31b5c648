"""The Pythons that run programs: the study's own, with chosen packages, or another environment's with all of its."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.core.records import StudyError

OLDEST = (3, 11)  # that the harness runs on
FACTS = """import json, sys, sysconfig
print(json.dumps([sys.base_prefix, sys.version_info[:2], sysconfig.get_path("purelib")]))"""


@dataclass(frozen=True)
class Interpreter:
    """A base Python (never a virtual environment's), the folders it needs besides /usr, its packages' folder if any."""

    python: Path
    folders: tuple[Path, ...]
    site: Path | None = None


def interpreter(python: str = "") -> Interpreter:
    """Return the study's own interpreter, or the one behind `python`, an environment's; StudyError when it is unfit."""
    if not python:
        return based(Path(sys.base_prefix), sys.version_info[:2])
    prefix, version, site = asked(python)
    if tuple(version) < OLDEST:
        raise StudyError(f"{python} is Python {version[0]}.{version[1]}; the sandbox needs 3.11 or later")
    return based(Path(prefix), (version[0], version[1]), Path(site).resolve())


def based(prefix: Path, version: tuple[int, int], site: Path | None = None) -> Interpreter:
    """Return the interpreter of an installation; StudyError when it is not laid out as usual."""
    prefix = prefix.resolve()
    python = prefix / "bin" / f"python{version[0]}.{version[1]}"
    if not python.is_file():
        raise StudyError(f"the sandbox needs {python}, which is missing; use a Python installed in the usual layout")
    if prefix.is_relative_to("/usr"):
        return Interpreter(python, (), site)
    folders = tuple(prefix / part for part in ("bin", "lib", "lib64") if (prefix / part).is_dir())
    return Interpreter(python, folders, site)


@cache
def asked(python: str) -> tuple[str, list[int], str]:
    """Ask an interpreter for its base, version and folder of packages; StudyError when it does not answer."""
    try:
        done = subprocess.run([python, "-I", "-c", FACTS], capture_output=True, text=True, timeout=60, check=True)
        prefix, version, site = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise StudyError(
            f"{python} is no working Python: `make benchmark-env` builds those of the benchmarks"
        ) from None
    return prefix, version, site


def installed(python: str) -> list[str]:
    """Return the distributions of another environment, by name and version; none for the study's own."""
    site = interpreter(python).site
    return sorted(path.stem for path in site.glob("*.dist-info")) if site else []


def top_level(distribution: metadata.Distribution) -> list[Path]:
    """Return the files and folders of a distribution at the top level of site-packages."""
    names = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    return [Path(str(distribution.locate_file(name))) for name in sorted(names)]


def package_paths(packages: Iterable[str]) -> dict[str, Path]:
    """Name -> path of the top-level files and folders of installed distributions and of all that they require.

    Raises StudyError when one is not installed.
    """
    found: dict[str, Path] = {}
    waiting, seen = [*packages], set[str]()
    while waiting:
        name = waiting.pop()
        if (key := canonicalize_name(name)) in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise StudyError(f"programs may import {name}, which is not installed: pip install {name}") from None
        found |= {path.name: path.resolve() for path in top_level(distribution)}
        needed = map(Requirement, distribution.requires or ())
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def modules(packages: Iterable[str]) -> list[str]:
    """Return the names under which installed distributions are imported: PyYAML is yaml."""
    paths = [path for name in packages for path in top_level(metadata.distribution(name)) if path.name[0] != "_"]
    return sorted(path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file())
