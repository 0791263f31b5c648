"""What a headless notebook shows in the terminal: its own lines, and how far the study is."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lib.core.progress import SAID, clock

HEARTBEAT = 60  # seconds between two lines on how far the study is


class Console:
    """Passes on what a notebook says (study.say), and tells once a minute how far the study is."""

    def __init__(self, name: str, cells: int, title: str, minutes_left: float | None = None) -> None:
        self.name, self.cells, self.title, self.minutes_left = name, cells, title, minutes_left
        self.cell, self.started = 0, time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def write(self, text: str) -> None:
        """Print the lines that are meant for the terminal, marked with the notebook's number."""
        for line in text.splitlines():
            if line.startswith(SAID):
                print(f"  {self.name[:2]} │ {line.removeprefix(SAID).rstrip()}", flush=True)

    def flush(self) -> None:
        """Nothing is held back."""

    def on_cell(self, cell: object, cell_index: int) -> None:
        """Remember which cell runs (nbclient's hook)."""
        self.cell = cell_index + 1

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT):
            elapsed = time.monotonic() - self.started
            left = f", {to_go(self.minutes_left - elapsed / 60)}" if self.minutes_left else ""
            self.write(f"{SAID}… {self.title}, cell {self.cell} of {self.cells}, {clock(elapsed)}{left}")

    def __enter__(self) -> "Console":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()


@contextmanager
def errors_into(log: TextIO) -> Iterator[None]:
    """Send this process's standard error, which a kernel inherits, to a log: libraries write warnings there from C."""
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def to_go(minutes: float | None) -> str:
    """Say how long it may take from here, judged by the reference run on its machine."""
    return "time to go not known for this profile" if minutes is None else f"about {max(1, round(minutes))} min to go"
