"""How long a reference's stages take on this machine, half or twice as fast as the one that recorded it perhaps."""

import json
import time
from collections.abc import Sequence

from lib.core.paths import ROOT

REFERENCES = ROOT / "data" / "reference"
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


def beside(profile: str) -> float:
    """Return how many times as long this machine takes as a profile's reference did; 1 where that is not known."""
    path = REFERENCES / profile / PACE
    return seconds() / json.loads(path.read_text())["seconds"] if path.is_file() else 1.0


def outlook(names: Sequence[str], profile: str, slower: float) -> float | None:
    """Return the minutes that notebooks take here, `slower` times the reference's; None when it lacks one of them."""
    paths = [REFERENCES / profile / name / "manifest.json" for name in names]
    if not all(path.is_file() for path in paths):
        return None
    return slower * sum(json.loads(path.read_text())["seconds"] for path in paths) / 60


def in_words(minutes: float, slower: float) -> str:
    """Say how long a whole run takes here, and what to do where that is longer than it is meant to be."""
    said = f"about {minutes:.0f} min in all, {slower:.1f} times what it took where the reference was recorded"
    if minutes <= LIMIT:
        return said
    return f"{said}; to stay below {LIMIT} min, close other programs, or lower N_SEEDS in a profile with BASE: laptop"
