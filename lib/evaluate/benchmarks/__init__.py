"""The benchmarks by name, one module each, and the two protocols by which they are asked."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lib.core.records import StudyError
from lib.evaluate.benchmark import Benchmark
from lib.evaluate.benchmarks import (
    canitedit,
    classeval,
    ds1000,
    evalperf,
    evoeval,
    humaneval,
    humaneval_plus,
    livecodebench,
    mbpp,
)
from lib.evaluate.benchmarks.functions import Functions
from lib.evaluate.data import EVOEVAL_SETS

# name -> the function that loads it, given a path or None
BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    "humaneval": humaneval.load,
    "humaneval+": humaneval_plus.load,
    "mbpp": partial(mbpp.load, plus=False),
    "mbpp+": partial(mbpp.load, plus=True),
    **{f"evoeval-{which}": partial(evoeval.load, which=which) for which in EVOEVAL_SETS},
    "livecodebench": livecodebench.load,
    "classeval": classeval.load,
    "classeval-incremental": partial(classeval.load, strategy="incremental"),
    "classeval-compositional": partial(classeval.load, strategy="compositional"),
    "canitedit": canitedit.load,
    "ds1000": ds1000.load,
    "evalperf": evalperf.load,
}
# Those of which one can ask for a version, with the versions of their files' hashes.
VERSIONED: dict[str, Mapping[str, str]] = {
    "humaneval+": humaneval_plus.PINS,
    "mbpp": mbpp.PINS,
    "mbpp+": mbpp.PINS,
    "livecodebench": livecodebench.VERSIONS,
}


def load_benchmark(name: str, path: str | Path | None = None, protocol: str = "paper") -> Benchmark:
    """Return the benchmark of this name, from a path or from where it is found (`lib.evaluate.data.locate`).

    A name may have a version, such as humaneval+@v0.1.9; without it the newest that is found is taken. `protocol` says
    how the benchmark is asked in the template, and how an answer is read: "paper", or "starcoder2" as the authors
    of StarCoder2-Instruct did.

    StudyError for an unknown name, version or protocol and a file that is not the pinned one, Missing (a
    StudyError) when there is none.
    """
    plain, version = named(name)
    check_protocol(protocol, Functions)  # before a file is looked for
    found = BENCHMARKS[plain](path, version) if version else BENCHMARKS[plain](path)
    check_protocol(protocol, found)
    found.choose_protocol(protocol)
    return found


def named(name: str) -> tuple[str, str]:
    """Return a benchmark's name without its version, and the version, "" for any; StudyError for an unknown one."""
    plain, _, version = name.partition("@")
    if plain not in BENCHMARKS:
        raise StudyError(f"there is no benchmark {name!r}; the study has {', '.join(BENCHMARKS)}")
    if version and plain not in VERSIONED:
        raise StudyError(f"{name}: {plain} has one version only; leave out @{version}")
    if version and version not in (versions := VERSIONED[plain].values()):
        raise StudyError(f"{plain} has no version {version!r}; choose {' or '.join(versions)}")
    return plain, version


def check_protocol(protocol: str, asked: Benchmark | type[Benchmark]) -> None:
    """Raise StudyError when a benchmark, or a kind of them, cannot be asked by a protocol."""
    if protocol not in asked.protocols:
        raise StudyError(f"PROTOCOL={protocol!r} is unknown; choose {' or '.join(asked.protocols)}")
