"""Runs an answer to a task of DS-1000 in a process of its own, and its tests where the answer has never been.

A task's `code_context` defines `generate_test_case`, which returns an input and the expected result, `test_execution`,
which executes the answer on the input in one namespace, and `exec_test`, which compares. In the official harness all of
it shares a process: an answer can read the expected result from a frame, or replace numpy's comparison. Here the box
forks a second process before it has been given the task; what `test_execution` executes is sent there with its input
and the states of the random generators, and the result comes back as a pickle, which `received` reads. For Matplotlib
the figures come back, too, as the tests look at the current one.

The working folder is shared, so the expected picture is not in it while the answer runs; and while results are
compared, the processes that an answer may have left are stopped. Runs inside the box only, in one with a PID namespace.
Standard library only.
"""

import contextlib
import importlib
import io
import os
import pickle
import random
import shutil
import signal
import socket
import stat
import struct
import sys
from typing import Any, NoReturn

from lib.evaluate.oracles.received import loads

HEADER = struct.Struct(">Q")
LARGEST = 64 << 20  # bytes of a result
EXPECTED = "ans."  # how the names of files begin that hold what is expected
PICTURES = ("ans.png", "output.png")
EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
Space = dict[str, Any]


class Failed(Exception):
    """The end of an answer that has none: `kind` says why."""

    def __init__(self, kind: str, why: str = "") -> None:
        super().__init__(kind, why)
        self.kind, self.why = kind, why


# ---- the process of the answer


def start() -> socket.socket:
    """Fork the process that will run the answer; return this end of its socket."""
    if os.getppid() != 1:
        raise RuntimeError("this runs in a box only, as the child of its first process")
    ours, theirs = socket.socketpair()
    if not os.fork():
        serve(theirs)
    theirs.close()
    return ours


def serve(own: socket.socket) -> NoReturn:
    """Run what comes until the other end closes; all that was inherited is given up first."""
    fd = own.fileno()
    os.closerange(3, fd)
    os.closerange(fd + 1, 4096)
    try:
        while (job := receive(own)) is not None:
            send(own, answered(*Job(io.BytesIO(job)).load()))
    finally:
        os._exit(0)


class Job(pickle.Unpickler):
    """Pickle's own, but arrays of objects get numpy's own dtype; with a copied one, pandas 1.5 converts in place."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what pickle does, in place of numpy.dtype a function that calls it."""
        return dtype if (module, name) == ("numpy", "dtype") else super().find_class(module, name)


def dtype(name: Any, *more: Any) -> Any:
    """Return a dtype of numpy, for objects always the same one."""
    numpy = importlib.import_module("numpy")
    return numpy.dtype("O") if name == "O8" else numpy.dtype(name, *more)


def answered(code: str, given: Any, states: Space, pictures: bool) -> bytes:
    """Execute an answer within its context; return its pickled `result`, with figures or not, or why there is none."""
    restore(states)
    space: Space = {"test_input": given}
    try:
        exec(code, space)
        found = {"result": space["result"]}
    except BaseException as error:
        return pickle.dumps({"raised": told(error)})
    why = ""
    for reply in ([found | {"figures": figures()}] if pictures else []) + [found]:
        try:
            return pickle.dumps(reply)
        except BaseException as error:
            why = told(error)
    return pickle.dumps({"unsent": why})


def figures() -> list[Any]:
    """Return pyplot's figures, the current one last."""
    managers = sys.modules["matplotlib._pylab_helpers"].Gcf.figs.values()
    return [manager.canvas.figure for manager in managers]


# ---- the process of the tests


class Apart:
    """What executes the answer for the tests, elsewhere."""

    def __init__(self, worker: socket.socket, pictures: bool) -> None:
        self.worker, self.pictures = worker, pictures

    def execute(self, code: str, space: Space) -> None:
        """Put the `result` of an answer into a namespace, in place of `exec`; Failed when there is none."""
        job = packed((code, space["test_input"], states(), self.pictures))
        held = taken()
        signalled(signal.SIGCONT)
        try:
            send(self.worker, job)
            data = receive(self.worker)
        except OSError:
            data = None
        signalled(signal.SIGSTOP)
        put(held)
        if data is None:
            raise Failed("left", "ended before its result was there")
        try:
            found = loads(data)
        except Exception as error:
            raise Failed("unreadable", told(error)) from None
        if not isinstance(found, dict) or "result" not in found:
            known = found if isinstance(found, dict) else {}
            kind = "raised" if "raised" in known else "unsent"
            raise Failed(kind, str(known.get(kind, ""))[:200])
        if self.pictures and "figures" not in found and not same_picture():
            raise Failed("unsent", "its figure cannot be sent to the tests")
        space["result"] = found["result"]


def grade(worker: socket.socket, context: str, answer: str) -> Space:
    """Return how an answer does in its tests: `kind` and `why`.

    Of kind "pass", "wrong", "form" (the rules on how it is written), "raised", "left", "unsent", "unreadable", or
    "broken", when the task's own code failed.
    """
    space: Space = {"__name__": "context", "exec": Apart(worker, "matplotlib" in context).execute}
    try:
        exec(compile(context, "<context>", "exec"), space)
    except Exception as error:
        return {"kind": "broken", "why": told(error)}
    make, compare = space["generate_test_case"], space["exec_test"]

    def generated(number: int) -> Any:
        try:
            return make(number)
        except Exception as error:
            raise Failed("broken", told(error)) from None

    space |= {"generate_test_case": generated, "exec_test": lambda a, b: not hollow(a, b) and compare(a, b)}
    kind = "wrong"
    try:
        space["test_execution"](answer)
        kind = "form"
        if "test_string" in space:
            space["test_string"](answer)
    except Failed as failed:
        return {"kind": failed.kind, "why": failed.why}
    except Exception as error:
        return {"kind": kind, "why": told(error)}
    return {"kind": "pass", "why": ""}


def hollow(result: Any, expected: Any) -> bool:
    """Whether there is nothing to compare where something is expected: numpy takes it for equal.

    An empty list equals any number in `assert_array_equal`, and what is masked equals anything.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    if isinstance(result, (list, tuple)) and isinstance(expected, (list, tuple)) and len(result) == len(expected):
        return any(map(hollow, result, expected))
    if isinstance(result, numpy.ma.MaskedArray) and not isinstance(expected, numpy.ma.MaskedArray):
        return bool(numpy.ma.getmaskarray(result).any())
    if isinstance(result, (list, tuple, numpy.ndarray)):
        with contextlib.suppress(Exception):
            return numpy.size(result) == 0 and numpy.size(expected) > 0
    return False


def same_picture() -> bool:
    """Whether the answer's image is the expected one, as the tests compare them."""
    numpy, image = importlib.import_module("numpy"), importlib.import_module("PIL.Image")
    try:
        expected, found = (numpy.array(image.open(name)) for name in PICTURES)
        return found.shape == expected.shape and bool(numpy.allclose(found, expected))
    except Exception:
        return False


# ---- files and processes that an answer could use


def taken() -> dict[str, bytes]:
    """Remove the files that hold what is expected; return them."""
    found = {}
    for name in os.listdir():
        if name.startswith(EXPECTED):
            with open(name, "rb") as file:
                found[name] = file.read()
            os.unlink(name)
    return found


def put(held: dict[str, bytes]) -> None:
    """Put them back, and remove links, behind which an answer could have them stand for its own."""
    for name in os.listdir():
        facts = os.lstat(name)
        if stat.S_ISDIR(facts.st_mode) and name in held:
            shutil.rmtree(name, ignore_errors=True)
        elif not stat.S_ISDIR(facts.st_mode) and (
            not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1 or name in held
        ):
            os.unlink(name)
    for name, data in held.items():
        with open(os.open(name, EXCLUSIVE, 0o600), "wb") as file:
            file.write(data)


def signalled(number: int) -> None:
    """Send a signal to every process of the box but its first and this one: twice, for those just being made."""
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)


# ---- what goes to and fro


def states() -> Space:
    """Return the states of the random generators in use, by module."""
    found: Space = {"random": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = numpy.random.get_state()
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_rng_state()
    return found


def restore(given: Space) -> None:
    """Set the random generators to these states, so that an answer draws what it would in the tests' process."""
    random.setstate(given["random"])
    if "numpy" in given:
        importlib.import_module("numpy").random.set_state(given["numpy"])
    if "torch" in given:
        importlib.import_module("torch").set_rng_state(given["torch"])


def packed(job: Any) -> bytes:
    """Return a job as a pickle; cloudpickle's where an input has functions of the task in it."""
    try:
        return pickle.dumps(job)
    except Exception:
        for name in ("cloudpickle", "joblib.externals.cloudpickle"):
            with contextlib.suppress(ImportError):
                return importlib.import_module(name).dumps(job)
        raise


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message; BrokenPipeError when the other end is gone."""
    channel.sendall(HEADER.pack(len(data)) + data, socket.MSG_NOSIGNAL)


def receive(channel: socket.socket) -> bytes | None:
    """Return the next message; None at the end, and for one that is too long."""
    head = channel.recv(HEADER.size, socket.MSG_WAITALL)
    if len(head) < HEADER.size or (size := HEADER.unpack(head)[0]) > LARGEST:
        return None
    data = bytearray()
    while len(data) < size:
        part = channel.recv(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def told(error: BaseException) -> str:
    """An exception in one line."""
    try:
        text = " ".join(str(error).split())[:200]
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
