"""Curation on a Ray cluster: Ray Data hands out shards of the corpus and batches for the type checker."""

import pickle
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib.core.cluster import arriving, connect
from lib.core.records import Journal, Record, replacing, write_text
from lib.corpora import Shard
from lib.curate.pipeline import Settings, Work, curate
from lib.curate.type_check import Environment, check_with_journal, verdicts

BATCH = 250  # functions that one task type-checks (official high_quality_subset.py)
RETRIES = 3  # of a task whose worker died, as Ray's own tasks have; Ray Data's would repeat for ever


def curate_on_ray(work: Sequence[Work], workers: int = 0, address: str = "") -> Iterator[int]:
    """Like curate_here, in `workers` tasks at once (0: one per CPU) on the Ray cluster at `address` (see `connect`).

    The nodes need the corpus at the same paths, or the hub's token. A shard's candidates come back as a whole and are
    written here, one shard's at a time, so a killed node leaves no part of them. Raises StudyError without a cluster,
    for a full disk, and for a shard that cannot be read or whose workers died RETRIES + 1 times.
    """
    shards = [(shard, settings) for shard, settings, _ in work]
    for done, (number, (candidates, counts)) in enumerate(_each(curated, shards, workers, address), 1):
        target = work[number][-1]
        with replacing(target.with_suffix(".jsonl")) as file:
            file.write(candidates)
        write_text(target, counts)
        yield done


def check_on_ray(
    seeds: Sequence[Record],
    journal: Journal,
    workers: int = 0,
    environment: Environment | None = None,
    address: str = "",
) -> dict[str, list[str]]:
    """Like `check`, in `workers` tasks at once (0: one per CPU) on a cluster whose nodes have the same environment.

    Verdicts are stored in `journal` as their batches come back. Raises StudyError as `check` does, and without a
    cluster.
    """

    def run(codes: dict[str, str]) -> Generator[list[Record], None, None]:
        rows = list(codes.items())
        batches = [(dict(rows[start : start + BATCH]), environment) for start in range(0, len(rows), BATCH)]
        for _, found in _each(checked, batches, workers, address):
            yield found

    return check_with_journal(seeds, journal, environment, run)


def curated(shard: Shard, settings: Settings) -> tuple[bytes, str]:
    """Return the two files that `curate` makes of a shard: candidates and counts."""
    with TemporaryDirectory(prefix="curate-") as folder:
        target = Path(folder) / "shard.json"
        curate(shard, settings, target)
        return target.with_suffix(".jsonl").read_bytes(), target.read_text()


def checked(codes: dict[str, str], environment: Environment | None) -> list[Record]:
    """Return the verdicts on codes {key: code}, found by one process."""
    return [verdict for found in verdicts(codes, 1, environment) for verdict in found]


def _each(
    function: Callable[..., Any], work: Sequence[tuple[Any, ...]], workers: int, address: str
) -> Generator[tuple[int, Any], None, None]:
    """Yield (number, function(*work[number])) in the order in which they are done; `function` is one of a module."""
    if not work:
        return
    joined = connect(address, workers or 1)
    import ray.data

    def done(row: Record) -> Record:
        return {"number": row["number"], "result": pickle.dumps(function(*pickle.loads(row["arguments"])))}

    try:
        # pickled, as a record may hold text that UTF-8 cannot
        rows = [{"number": number, "arguments": pickle.dumps(arguments)} for number, arguments in enumerate(work)]
        at_once = ray.data.TaskPoolStrategy(min(workers or int(ray.cluster_resources()["CPU"]), len(rows)))
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`ray_remote_args`")  # ray 2.60 has no other way to give max_retries
            dataset = dataset.map(done, num_cpus=1, compute=at_once, max_retries=RETRIES)
        for row in arriving(dataset):
            yield row["number"], pickle.loads(row["result"])
    finally:
        if joined:
            ray.shutdown()
