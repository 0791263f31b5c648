"""The locked interpreters that some benchmarks need, as `make benchmark-env` builds them."""

import hashlib
import os
from pathlib import Path

from lib.core import paths
from lib.core.records import StudyError
from lib.evaluate.data import Missing

LOCKS = paths.ROOT / "requirements" / "benchmarks"


def python_of(name: str) -> str:
    """Return the path of the Python that has a benchmark's packages; for `lib.sandbox.Limits.python`.

    It is the one that the environment variable NAME_PYTHON names (StudyError when that is no file), else that of
    `make benchmark-env`: Missing when there is none, StudyError when it was built from another lock, or not to the end.
    """
    variable = f"{name.upper()}_PYTHON"
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise StudyError(f"{variable} is {named!r}, which is no file: name a Python with {name}'s packages")
        return named
    place, lock = paths.cache_folder() / "environments" / name, LOCKS / f"{name}.txt"
    remedy = f"run `make benchmark-env`, or name a Python that has {lock.stem}.in's packages in {variable}"
    if not (place / "bin" / "python").is_file():
        raise Missing(f"{name} is graded with packages of its own, which are not installed: {remedy}")
    if not lock.is_file() or not (place / f".installed-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}").is_file():
        raise StudyError(f"{name}'s packages were installed from another lock, or not to the end: {remedy}")
    return str(place / "bin" / "python")
