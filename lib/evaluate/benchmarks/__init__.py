"""The benchmarks by name, one module each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lib.core.records import StudyError
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks import evoeval, humaneval, humaneval_plus, mbpp

# name -> the function that loads it, given a path or None
BENCHMARKS: dict[str, Callable[[str | Path | None], Benchmark]] = {
    "humaneval": humaneval.load,
    "humaneval+": humaneval_plus.load,
    "mbpp": partial(mbpp.load, plus=False),
    "mbpp+": partial(mbpp.load, plus=True),
    **{
        f"evoeval-{which}": partial(evoeval.load, which=which)
        for which in ("difficult", "creative", "subtle", "combine", "tool_use")
    },
}


def load_benchmark(name: str, path: str | Path | None = None) -> Benchmark:
    """Return the benchmark of this name, from a path or from where it is found (`lib.evaluate.data.locate`).

    StudyError for an unknown name and a file that is not the pinned one, Missing (a StudyError) when there is none.
    """
    if name not in BENCHMARKS:
        raise StudyError(f"there is no benchmark {name!r}; the study has {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name](path)
