"""How long a run takes on this machine, judged by the reference's run and by how fast both machines are."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from lib.core.paths import ROOT
from lib.runner.verify.finished import REFERENCES

PACE = "pace.json"  # of a reference: {"seconds": what `seconds` was on the machine that recorded it}
LIMIT = 45  # minutes that `make study` may take
TOKENS, WIDTH, HIDDEN, LAYERS = 128, 896, 4864, 64  # of a batch and of the embedded 0.5B's largest matrices


def seconds() -> float:
    """Return the seconds that the products of a small model's forward pass take here, the best of three passes."""
    import torch  # three seconds, which only those need who start a run

    given = torch.ones(TOKENS, WIDTH, dtype=torch.bfloat16)
    weights = [torch.ones(WIDTH, HIDDEN, dtype=torch.bfloat16) for _ in range(8)]  # more than a cache holds

    def once() -> float:
        start = time.perf_counter()
        for layer in range(LAYERS):
            torch.mm(given, weights[layer % len(weights)])
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(3))


def beside(profile: str) -> float | None:
    """Return how many times as long this machine takes as a profile's reference did; None where that is not known."""
    path = REFERENCES / profile / PACE
    if not path.is_file():
        return None
    measure = [sys.executable, "-c", "from lib.runner.pace import seconds; print(seconds())"]  # torch goes with it
    try:
        here = subprocess.run(measure, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    return float(here) / json.loads(path.read_text())["seconds"]


def outlook(names: Sequence[str], profile: str, slower: float | None) -> float | None:
    """Return the minutes that notebooks take here, `slower` times the reference's; None when it lacks one of them."""
    paths = [REFERENCES / profile / name / "manifest.json" for name in names]
    if not all(path.is_file() for path in paths):
        return None
    return (slower or 1.0) * sum(json.loads(path.read_text())["seconds"] for path in paths) / 60


def in_words(minutes: float, slower: float | None) -> str:
    """Say how long a whole run takes here, and what to do where that is longer than it is meant to be."""
    said = f"about {minutes:.0f} min in all"
    if slower is not None:
        said += f", {slower:.1f} times what it took where the reference was recorded"
    if minutes <= LIMIT:
        return said
    return f"{said}; to stay below {LIMIT} min, close other programs, or lower N_SEEDS in a profile with BASE: laptop"
