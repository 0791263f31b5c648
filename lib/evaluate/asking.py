"""Asks a model the problems of a benchmark."""

from collections.abc import Sequence

from lib.core.records import Journal, Record, StudyError
from lib.evaluate.benchmark import RAW_STOP, Benchmark
from lib.generate import Engine, Request, complete
from lib.generate.protocol import sampling_seed


def ask(
    engine: Engine,
    benchmark: Benchmark,
    tasks: Sequence[str],
    max_tokens: int,
    cache: Journal,
    what: str,
    *,
    samples: int = 1,
    temperature: float = 0.0,
    raw: bool = False,
    seed: int = 0,
) -> dict[str, list[Record]]:
    """Return `samples` completion records per task, by task id; `raw` asks with the prompt for base models.

    The defaults (one greedy sample) are the paper's evaluation script's; the stop strings are those of the benchmark's
    protocol. At a temperature above 0 each sample has its own seed, derived from `seed`, the benchmark, the task and
    the sample's number.

    StudyError for several samples at temperature 0, which would all be equal.
    """
    if samples < 1 or (samples > 1 and temperature <= 0):
        raise StudyError(
            f"{samples} samples at temperature {temperature}: ask for 1, or for more at a temperature above 0"
        )
    stop = RAW_STOP if raw else benchmark.stop

    def seeded(task: str, sample: int) -> int | None:
        return sampling_seed(seed, benchmark.name, task, sample) if temperature > 0 else None

    requests = [
        Request(benchmark.prompt(task, raw), temperature, max_tokens, stop, seeded(task, sample), sample)
        for task in tasks
        for sample in range(samples)
    ]
    records = complete(engine, requests, cache, what)
    return {task: list(records[place * samples : (place + 1) * samples]) for place, task in enumerate(tasks)}
