"""How the harness measures and kills the processes of its box.

As process 1 of a PID namespace it means all processes of the namespace; else (`lib.sandbox.landlock`) only the cell.
"""

import contextlib
import os
import pathlib
import resource
import signal
import time
from typing import NoReturn

PAGE, TICK = resource.getpagesize(), os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> tuple[float, int]:
    """Processor seconds and resident bytes of the box except this process, whose pages the others share.

    `pid` is the cell.
    """
    seconds, pages, own = 0.0, 0, int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    for entry in os.listdir("/proc") if os.getpid() == 1 else [str(pid)]:
        if entry.isdigit() and entry != "1":
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                seconds += sum(map(int, fields[11:15])) / TICK
                pages += max(0, int(fields[21]) - own)
    return seconds, pages * PAGE


def reap(pid: int, options: int = os.WNOHANG) -> tuple[int, int, int]:
    """(pid, exit status, peak KiB of memory) of a child that has ended, of any for -1; zeros when none has."""
    ended, status, used = os.wait4(pid, options)
    return ended, status, used.ru_maxrss if ended else 0


def kill_all(pid: int) -> int:
    """Kill and reap every process of the box except this one (`pid` is the cell); the largest peak memory in KiB."""
    peak = 0
    if os.getpid() != 1:
        with contextlib.suppress(ChildProcessError):  # already reaped: the number may have been reused
            ended, _, peak = reap(pid)
            if not ended:
                os.kill(pid, signal.SIGKILL)
                peak = reap(pid, 0)[2]
        return peak
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(-1, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while (found := reap(-1))[0]:
                    peak = max(peak, found[2])
            time.sleep(0.0002)
    return peak


def leave(pid: int) -> NoReturn:
    """End the box: the parent is gone."""
    kill_all(pid)
    os._exit(0)
