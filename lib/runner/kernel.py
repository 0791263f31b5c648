"""The kernel that notebooks run in: always this Python, whatever kernels, start-up files and paths its user has."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.core.paths import ROOT
from lib.core.records import Record

NAME = "python3"  # what every notebook asks for
# Variables that change what a notebook does; empty is unset. No program runs first, asserts count, figures appear where
# a notebook shows them, and no packages of the user's own stand beside the locked ones.
VARIABLES = {"PYTHONSTARTUP": "", "PYTHONOPTIMIZE": "", "MPLBACKEND": "", "PYTHONNOUSERSITE": "1"}


def specification(folder: Path) -> Record:
    """Return the kernel.json of this Python: `lib` is this checkout's, IPython's folder of the user is in `folder`."""
    places = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 (this study)",
        "language": "python",
        "env": VARIABLES
        | {name: place.replace("$", "$$") for name, place in places.items()},  # Jupyter fills templates
        # Named, because JUPYTER_DEFAULT_PROVISIONER_NAME could start it elsewhere.
        "metadata": {"debugger": True, "kernel_provisioner": {"provisioner_name": "local-provisioner"}},
    }


@contextmanager
def own_kernel() -> Iterator[None]:
    """Let `python3` mean this Python to whatever starts a kernel within: JUPYTER_PATH precedes all other places."""
    before = os.environ.get("JUPYTER_PATH")
    with TemporaryDirectory(prefix="study-kernel-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        file = folder / "kernels" / NAME / "kernel.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(specification(folder)), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder), before]))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            os.environ.update({} if before is None else {"JUPYTER_PATH": before})
