"""How many cores other programs keep busy: beside one of them, generation on a CPU falls up to twentyfold."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
IDLE = (3, 4)  # of the columns of its first line: idle, and waiting for a disk (man 5 proc_stat)
ENOUGH = 0.25  # cores; a machine at rest uses a tenth of that


class Others:
    """Says, from one question to the next, how many cores were busy with other processes than this one."""

    def __init__(self, stat: Path = STAT) -> None:
        self.stat, self._before = stat, self._times(stat)

    @staticmethod
    def _times(stat: Path) -> tuple[float, float, float]:
        """Return the seconds that all cores were busy, that this process computed, and the clock's."""
        columns = [int(number) for number in stat.read_text().split("\n", 1)[0].split()[1:9]]
        ticks = sum(number for place, number in enumerate(columns) if place not in IDLE)
        return ticks / os.sysconf("SC_CLK_TCK"), time.process_time(), time.monotonic()

    def cores(self) -> float:
        """Return the number of cores, 0 or more, that others kept busy since the last question."""
        before, self._before = self._before, self._times(self.stat)
        busy, own, passed = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, busy - own) / max(passed, 1e-3)

    def in_words(self) -> str:
        """Return what to do about them, "" where they hardly count."""
        cores = self.cores()
        if cores < ENOUGH:
            return ""
        return (
            f"other programs keep {cores:.1f} of {os.cpu_count()} cores busy: stop them, generation crawls beside them"
        )
