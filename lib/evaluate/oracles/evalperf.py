"""Calls a solution inside the box on one large input, each time from a fresh start, and reports its processor time.

`lib.evaluate.benchmarks.evalperf.costs` sends this module's source. The last answer is left in a file, and compared
with the fastest reference's in a program of its own.
"""

import base64
import contextlib
import marshal
import os
import time
import zlib
from collections.abc import Callable
from typing import Any

from lib.evaluate.oracles.calls import FILE, HEADER, ROOM, Silence, sent

OTHERS = 0.03  # some ticks of 4 ms, or of 10


def pack(arguments: list[Any]) -> str:
    """Return the arguments of one call as text; they come back with types that JSON does not have."""
    return base64.b64encode(zlib.compress(marshal.dumps(arguments), 1)).decode()


def fresh(code: str, entry: str) -> Callable[..., Any]:
    """Return the function of a program that runs anew: nothing that an earlier call has stored in it is left."""
    space: dict[str, Any] = {"__name__": "solution"}
    exec(compile(code, "<response>", "exec", dont_inherit=True), space)
    return space[entry]


def run(answer: Callable[..., Any], job: dict[str, Any], given: str, scale: float) -> dict[str, Any]:
    """Call `answer` on `given` (packed) job["calls"] times, or until job["enough"] processor seconds have passed.

    With job["check"], the last answer is left in FILE. Returns status (pass or error), why, calls, and the processor
    seconds that these took together.

    Where processor time is limited, as here, the kernel counts that of a process in ticks of some milliseconds. What
    counts is therefore the time of the calling thread, unless all threads together took OTHERS seconds more.
    """
    clock, own, times, whole, got = time.process_time, time.thread_time, list[float](), 0.0, None
    end, packed = clock() + job["enough"] * scale, zlib.decompress(base64.b64decode(given))
    with contextlib.redirect_stdout(Silence()), contextlib.redirect_stderr(Silence()):
        try:
            while len(times) < job["calls"] and (clock() < end or not times):
                function = fresh(job["code"], job["entry"]) if times else answer
                arguments, got = marshal.loads(packed), None
                start, began = clock(), own()
                got = function(*arguments)
                times.append(own() - began)
                whole += clock() - start
            if job["check"]:
                data = sent(got, job["rule"], ROOM)
                with open(os.path.join(os.environ["HOME"], FILE), "wb") as file:
                    file.write(HEADER.pack(len(data)) + data)
        except BaseException as error:
            return {"status": "error", "why": " ".join(f"{type(error).__name__}: {error!s:.100}".split())}
    seconds = whole if whole - sum(times) > OTHERS else sum(times)
    return {"status": "pass", "why": "", "calls": len(times), "seconds": seconds}
