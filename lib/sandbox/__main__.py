"""Runs programs from a file: `python -m lib.sandbox run programs.jsonl` prints a line of JSON with each verdict."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from lib.core.cli import command
from lib.core.records import Record, StudyError
from lib.sandbox import DEFAULT, check, run_programs
from lib.sandbox.box import Limits

PRINTED = ("id", "verdict", "detail", "units", "ended", "seconds", "cpu_seconds", "memory_mb", "tier")


def program(line: str, place: str) -> Record:
    """The program of one line: id, code, tests, perhaps entry and options {time, entry}; StudyError if malformed."""
    try:
        record = json.loads(line)
        options = record.get("options") or {}
        made = {name: record[name] for name in ("id", "code", "tests")}
        made |= {name: record.get(name, options.get(name)) for name in ("entry", "time")}
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise StudyError(f"{place}: no program with id, code and tests ({type(error).__name__}: {error})") from None
    types = {"id": str, "code": str, "tests": str, "entry": str | None, "time": int | float | None}
    for name, allowed in types.items():
        if not isinstance(made[name], allowed) or isinstance(made[name], bool):
            raise StudyError(f"{place}: {name} is {made[name]!r:.60}")
    if made["time"] is not None and not 0 < made["time"] < 1e6:
        raise StudyError(f"{place}: time is {made['time']!r}; give seconds, above 0")
    return made


def programs(path: Path) -> Iterator[Record]:
    """The programs of a file of JSON lines, read one by one."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield program(line, f"{path.name}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}") from None


def arguments() -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m lib.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="probe the sandbox and print its tier")
    run = commands.add_parser("run", help="run the programs of a file")
    run.add_argument("file", type=Path, help="JSON lines with id, code, tests, perhaps entry and options {time, entry}")
    run.add_argument("--workers", type=int, help="programs at once; one per core by default")
    run.add_argument("--packages", nargs="*", default=(), help="installed packages that programs may import")
    for name in ("cpu_seconds", "memory_mb", "output_kb"):
        value = getattr(DEFAULT, name)
        run.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default: {value}")
    return parser.parse_args()


def main() -> None:
    """Probe the sandbox, or run a file's programs."""
    given = arguments()
    if given.command == "check":
        print(check())
        return
    if not given.file.is_file():
        raise StudyError(f"{given.file} is not a file; it is read twice, so it cannot be a pipe")
    if given.workers is not None and given.workers < 1:
        raise StudyError(f"--workers {given.workers}: give 1 or more, or leave it out for one per core")
    for _ in programs(given.file):  # the whole file is checked before anything runs
        pass
    limits = Limits(given.cpu_seconds, given.memory_mb, output_kb=given.output_kb, packages=tuple(given.packages))
    for verdict in run_programs(programs(given.file), limits, given.workers):
        print(json.dumps({name: verdict[name] for name in PRINTED}), flush=True)


if __name__ == "__main__":
    command(main)
