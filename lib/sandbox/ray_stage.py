"""The execution filter on a Ray cluster: Ray Data distributes the programs, and the sandbox runs them on the nodes."""

import json
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from lib.core.cluster import arriving, connect
from lib.core.records import Record
from lib.sandbox import DEFAULT, Limits, run_programs

WINDOW = 4096  # programs in memory at once
BATCH = 16  # most programs of one task; each task starts its own sandbox


def run_on_ray(
    programs: Iterable[Record], limits: Limits = DEFAULT, workers: int | None = None, address: str = ""
) -> Generator[Record, None, None]:
    """Run programs as run_programs does, in `workers` tasks at once (one per CPU by default) on a Ray cluster.

    `address` is the cluster's ("" starts one on this machine). Yields the verdicts as they come, in any order; reads
    programs one window at a time. Tasks of a worker that died are run again. Raises StudyError without a cluster.
    """
    joined = connect(address, workers or 1)
    import ray.data

    def judged(batch: Any) -> Iterator[dict[str, Any]]:
        for verdict in run_programs(map(json.loads, batch["program"]), limits, workers=1):
            yield {"verdict": [json.dumps(verdict)]}

    at_once = workers or int(ray.cluster_resources()["CPU"])
    source = iter(programs)
    try:
        # JSON, as a program may hold text that UTF-8 cannot
        while rows := [{"program": json.dumps(program)} for program in islice(source, WINDOW)]:
            blocks = min(len(rows), max(at_once, -(-len(rows) // BATCH)))
            tasks = ray.data.TaskPoolStrategy(min(at_once, blocks))
            dataset = ray.data.from_items(rows, override_num_blocks=blocks)
            for row in arriving(dataset.map_batches(judged, batch_size=None, num_cpus=1, compute=tasks)):
                yield json.loads(row["verdict"])
    finally:
        if joined:
            ray.shutdown()
