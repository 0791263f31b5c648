"""Lines for the terminal, and the progress of a long step with an estimate of the time left."""

import time
from collections.abc import Callable

SAID = "▸ "  # begins the lines that a headless run passes on to its terminal; the rest stays in the notebook


def say(line: str) -> None:
    """Print a line that a headless run passes on to its terminal."""
    print(SAID + line, flush=True)


class Progress:
    """Prints how far a long step is, at most one line every `every` seconds, with the time left.

    `done` at the start is work that was finished before; it does not count towards the rate.
    """

    def __init__(self, what: str, total: int, unit: str = "", done: int = 0, every: float = 15.0) -> None:
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done = self.resumed = done
        self.started = self.printed = time.monotonic()
        if done:
            self._print("found from before")

    def update(self, done: int, note: str | Callable[[], str] = "") -> None:
        """Say that `done` of `total` are finished; prints when a line is due, and only then asks for a note."""
        self.done = done
        if time.monotonic() - self.printed >= self.every:
            self._print(note if isinstance(note, str) else note())

    def close(self, note: str = "") -> None:
        """Print the last line."""
        self._print(note)

    def seconds(self) -> float:
        """Return the seconds since the start (never zero, so that a rate can be taken)."""
        return max(time.monotonic() - self.started, 1e-3)

    def _print(self, note: str) -> None:
        seconds = self.seconds()
        self.printed = time.monotonic()
        line = f"{self.what}: {self.done:,}/{self.total:,} {self.unit}".rstrip()
        new = self.done - self.resumed
        if new and self.total > self.done and new >= self.total // 50:  # the first few say little about the rest
            line += f" · about {clock(seconds / new * (self.total - self.done))} left"
        elif self.done >= self.total and seconds >= 1:
            line += f" · in {clock(seconds)}"
        say(line + (f" · {note}" if note else ""))


def clock(seconds: float) -> str:
    """Return a duration as a reader says it: 45 s, 3:20 min, 1:05:00 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"
