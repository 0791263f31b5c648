"""The energy that a computation uses: joules from the counters of CPU packages (RAPL) and NVIDIA GPUs (NVML)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass
class Counter:
    """A rising counter: `read` returns counts of `unit` joules, which restart at 0 after `wraps` counts (0: never)."""

    read: Callable[[], int]
    unit: float
    wraps: int = 0
    last: int = 0
    counts: int = 0

    def update(self) -> float:
        """Return the joules since the first update; correct if the counter wraps at most once between two updates."""
        value = self.read()
        self.counts += value - self.last + (self.wraps if value < self.last else 0)
        self.last = value
        return self.counts * self.unit


class EnergyMeter:
    """Counts the joules that CPU packages and visible GPUs use from now on, including whatever else runs on them.

    `counters` names what is counted ("2 CPU packages (RAPL), 1 GPU (NVML)", "" for nothing). A package's counter wraps
    after some minutes at full load (typically 2^18 J), so `joules` must be called more often than that.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        packages, gpus = usable(rapl(powercap)), usable(nvml())
        self._all = packages + gpus
        named = ((len(packages), "CPU package", "RAPL"), (len(gpus), "GPU", "NVML"))
        self.counters = ", ".join(f"{n} {what}{'s' * (n > 1)} ({how})" for n, what, how in named if n)

    def joules(self) -> float | None:
        """Return the joules used since the meter was created; None without counters or when one cannot be read now."""
        try:
            return sum(counter.update() for counter in self._all) if self._all else None
        except Exception:  # NVML's errors are its own; a measurement must not end a training
            return None


def usable(counters: list[Counter]) -> list[Counter]:
    """Return the counters that can be read, set to zero; on most machines only the superuser can read RAPL's."""
    found = []
    for counter in counters:
        try:
            counter.last = counter.read()
        except Exception:  # as above
            continue
        found.append(counter)
    return found


def rapl(powercap: Path) -> list[Counter]:
    """Return a counter for each CPU package below `powercap` (Linux, Documentation/power/powercap; microjoules).

    Only zones whose name begins with "package": other zones are parts of them (core, uncore) or contain them (psys) and
    would be counted twice. Memory modules, disks and fans are in no package.
    """
    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if (zone / "name").read_text().startswith("package"):
                wraps = int((zone / "max_energy_range_uj").read_text())
                counters.append(Counter(lambda file=zone / "energy_uj": int(file.read_text()), 1e-6, wraps))
        except (OSError, ValueError):
            continue
    return counters


def nvml() -> list[Counter]:
    """Return a counter for each GPU that this process may use (Volta or newer; millijoules since the driver's start).

    NVML ignores CUDA_VISIBLE_DEVICES, so devices are found by the identifiers that torch reports.
    """
    if not torch.cuda.is_available():
        return []
    try:
        import pynvml  # nvidia-ml-py, which vLLM installs on GPUs; not in the lock for CPUs  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        names = [f"GPU-{torch.cuda.get_device_properties(n).uuid}" for n in range(torch.cuda.device_count())]
        handles: list[Any] = [pynvml.nvmlDeviceGetHandleByUUID(name) for name in names]
    except Exception:  # no package, no driver, or a slice of a GPU, which has no counter
        return []
    return [Counter(lambda gpu=gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu), 1e-3) for gpu in handles]
