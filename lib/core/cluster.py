"""A Ray cluster, joined or started here, and the rows of its datasets as they arrive."""

import logging
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from lib.core.models import last_line
from lib.core.paths import ROOT
from lib.core.records import Record, StudyError

if TYPE_CHECKING:
    from ray.data import Dataset

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_LOG_LEVEL": "ERROR",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_process_group_cleanup_enabled": "1",  # kills what a killed worker had started
}


def connect(address: str, workers: int) -> bool:
    """Join the Ray cluster at `address`, or start one here if it is ""; return False if already connected.

    Every node needs this checkout and the model at the same paths, and the same Python packages.
    Raises StudyError if there is no such cluster.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    for name in ("ray._private.worker", "ray.llm"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    shared = [name for name in os.environ if name.startswith("VLLM_") or name == "HF_HUB_OFFLINE"]
    here: dict[str, Any] = {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    try:
        if ":" in address:  # Ray itself would keep trying for a quarter of an hour
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=20).close()
        ray.init(
            address or "local",
            runtime_env={"env_vars": {name: os.environ[name] for name in shared} | {"PYTHONPATH": path}},
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else here),
        )
    except Exception as error:  # Ray raises bare ones, when a node does not start in time
        why = " ".join(str(error).split())[:300]
        where = f"at {address!r}" if address else "starts on this machine"
        raise StudyError(f"no Ray cluster {where}: {why}; start one with `ray start --head`") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # an engine may be idle between two steps
    context.target_max_block_size = 1  # byte, so that each row is sent at once
    return True


def arriving(dataset: "Dataset") -> Iterator[Record]:
    """Yield a dataset's rows as soon as they exist; its own iterators also wait for the next row, which may not come.

    Raises StudyError when Ray gives up, after its own retries.
    """
    import ray

    try:
        for bundle in dataset.iter_internal_ref_bundles():
            for block in bundle.blocks:
                rows: Any = ray.get(cast("Any", block.ref))
                yield from rows.to_pylist()
    except Exception as error:  # Ray's own, or any that Ray Data hits when a worker dies at the wrong moment
        why = last_line(str(error))[:300]
        raise StudyError(f"Ray gave up: {why}; finished work is stored: fix the cause and run again") from error
