"""The benchmarks by name, one module each."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.core.records import StudyError
from lib.evaluate.benchmark import Benchmark

# name -> module beside this one, and the keywords of its function `load`
BENCHMARKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "humaneval": ("humaneval", {}),
    "humaneval+": ("humaneval_plus", {}),
    "mbpp": ("mbpp", {"plus": False}),
    "mbpp+": ("mbpp", {"plus": True}),
    **{
        f"evoeval-{which}": ("evoeval", {"which": which})
        for which in ("difficult", "creative", "subtle", "combine", "tool_use")
    },
}


def load(name: str, path: str | Path | None = None) -> Benchmark:
    """Return the benchmark of this name, from a path or from where it is found (`lib.evaluate.data.locate`).

    StudyError for an unknown name and a file that is not the pinned one, Missing (a StudyError) when there is none.
    """
    if name not in BENCHMARKS:
        raise StudyError(f"there is no benchmark {name!r}; the study has {', '.join(BENCHMARKS)}")
    module, keywords = BENCHMARKS[name]
    return importlib.import_module(f"lib.evaluate.benchmarks.{module}").load(path, **keywords)
