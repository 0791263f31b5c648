"""The GPUs that a plan is for, and the rates that its hours rest on."""

import os
import re
import subprocess
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from lib.core.records import StudyError

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU, or all cores of this machine: GiB that a process can use, operations and bytes a second at its peak."""

    name: str
    memory: float
    operations: float
    bandwidth: float


# From NVIDIA's data sheets: bfloat16 without sparsity and the memory's bandwidth, of the A100 PCIe 80 GB (the paper's,
# section C.4), the H100 SXM and the H200 SXM. The memory is what PyTorch reports, about 1 % under the nominal one.
KINDS = {
    "A100": Gpu("A100", 79, 312e12, 1.935e12),
    "H100": Gpu("H100", 79, 989e12, 3.35e12),
    "H200": Gpu("H200", 139, 989e12, 4.8e12),
}
# The shares of those peaks that a plan counts on: assumptions, to be read beside the paper's measured hours. Operations
# limit the reading of prompts and the training, the bandwidth the decoding of answers.
PROMPTS, DECODING, TRAINING = 0.5, 0.5, 0.35
# A core of the machine of data/reference/laptop: with the shares above, its rates give the time that its notebook 02
# took, 18 minutes for 236,000 computed prompt tokens and 274,000 generated ones on two cores.
CORE = Gpu("CPU", 0, 0.6e12, 40e9)
CORES = 128  # of the paper's machine (section C.4), where the plan is for another machine than this one


@dataclass(frozen=True)
class Hardware:
    """`count` GPUs, and how the plan came by them: "found" here, "stated" as GPUS, "assumed", or "CPU" for none."""

    gpu: Gpu
    count: int
    source: str

    @property
    def here(self) -> bool:
        """Whether it is that of this machine."""
        return self.source in ("found", "CPU")

    def __str__(self) -> str:
        if self.source == "CPU":
            return f"{len(os.sched_getaffinity(0))} cores, no GPU"
        said = {"found": "found here", "stated": "as GPUS says", "assumed": "assumed, because there is none here"}
        return f"{self.count} x {self.gpu.name}, {self.gpu.memory:.0f} GiB each ({said[self.source]})"


def stated(text: str) -> Hardware:
    """Return the hardware that GPUS names, as 4xA100; StudyError for another form or an unknown kind."""
    parts = re.fullmatch(r"([1-9]\d{0,3})x(\w+)", text)
    if not parts or parts[2].upper() not in KINDS:
        raise StudyError(f"GPUS={text} is not a number and a kind: write 4xA100; the kinds are {', '.join(KINDS)}")
    return Hardware(KINDS[parts[2].upper()], int(parts[1]), "stated")


def found() -> Hardware | None:
    """Return the GPUs of this machine that a process may use, by nvidia-smi; None when there are none.

    One of an unknown kind gets an A100's rates and its own memory; of several kinds, the smallest counts.
    """
    ask = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
    named = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", ",".join("0" * len(rows))).split(",")]
    # CUDA heeds that list up to the first entry that names no GPU, such as -1
    count = min(len(rows), len(list(takewhile(lambda one: one and one != "-1", named))))
    if done.returncode or not count:
        return None
    name, mebibytes = min(rows, key=lambda row: float(row[1]))
    known = next((gpu for kind, gpu in KINDS.items() if kind in name), KINDS["A100"])
    return Hardware(replace(known, name=name.strip(), memory=0.985 * float(mebibytes) / 1024), count, "found")


def cpu() -> Hardware:
    """Return this machine's cores as one device."""
    cores = len(os.sched_getaffinity(0))
    return Hardware(Gpu("CPU", memory() / GIB, cores * CORE.operations, cores * CORE.bandwidth), 1, "CPU")


def memory(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the bytes of memory that this process may use: the machine's, or a lower limit of its control groups.

    Such are a container's limit, and that of a job of Slurm. `groups` is where version 2 of them is mounted, and `own`
    says which one this process is in.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    line = next((line for line in (own.read_text().splitlines() if own.is_file() else ()) if line[:3] == "0::"), "0::/")
    inner = groups / line[3:].lstrip("/")
    for group in (inner, *inner.parents):
        file = group / "memory.max"
        if group.is_relative_to(groups) and file.is_file() and (text := file.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)
