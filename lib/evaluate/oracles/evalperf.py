"""Calls a solution inside the box on one large input, each time from a fresh start, and reports its processor time.

`lib.evaluate.benchmarks.evalperf.costs` sends this module's source after that of `lib.evaluate.oracles.evalplus`.
"""

import base64
import contextlib
import marshal
import time
import zlib
from collections.abc import Callable
from typing import Any

from lib.evaluate.oracles.evalplus import Silence, comparison, crafted

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

    With job["check"], the last answer is then compared with that of the fastest reference, by EvalPlus's rules. Returns
    status (pass, fail or error), why, calls, and the processor seconds that these took together.

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
                wanted = fresh(job["fastest"], job["entry"])(*marshal.loads(packed))
                holds = comparison(job["rule"], job["atol"])
                if crafted(got) or not holds(tuple(marshal.loads(packed)), got, wanted):
                    return {"status": "fail", "why": "another answer than the fastest reference's"}
        except BaseException as error:
            return {"status": "error", "why": " ".join(f"{type(error).__name__}: {error!s:.100}".split())}
    seconds = whole if whole - sum(times) > OTHERS else sum(times)
    return {"status": "pass", "why": "", "calls": len(times), "seconds": seconds}
