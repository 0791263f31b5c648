"""The execution filter on a Ray cluster: Ray Data hands the programs out, and the sandbox judges them on the nodes."""

import json
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from lib.core.cluster import arriving, connect
from lib.core.records import Record
from lib.sandbox import DEFAULT, Limits, run_programs

WINDOW = 4096  # programs that are held at once
BATCH = 16  # programs of one task at most; each task starts a sandbox of its own


def run_on_ray(
    programs: Iterable[Record], limits: Limits = DEFAULT, workers: int | None = None, address: str = ""
) -> Generator[Record, None, None]:
    """Judge programs as run_programs does, in `workers` tasks at once (one per CPU by default) on a Ray cluster.

    `address` is the cluster's ("" starts one on this machine). Yields the verdicts as they come, in any order; programs
    are read a window at a time. Tasks of a worker that died are run again. Raises StudyError when there is no cluster.
    """
    joined = connect(address, workers or 1)
    import ray.data

    def judged(batch: Any) -> Iterator[dict[str, Any]]:
        for verdict in run_programs(map(json.loads, batch["program"]), limits, workers=1):
            yield {"verdict": [json.dumps(verdict)]}

    at_once = workers or int(ray.cluster_resources()["CPU"])
    source = iter(programs)
    try:
        # JSON, as a program may be no valid UTF-8
        while rows := [{"program": json.dumps(program)} for program in islice(source, WINDOW)]:
            blocks = min(len(rows), max(at_once, -(-len(rows) // BATCH)))
            tasks = ray.data.TaskPoolStrategy(min(at_once, blocks))
            dataset = ray.data.from_items(rows, override_num_blocks=blocks)
            for row in arriving(dataset.map_batches(judged, batch_size=None, num_cpus=1, compute=tasks)):
                yield json.loads(row["verdict"])
    finally:
        if joined:
            ray.shutdown()
