"""A reviewer's command: `python -m lib.runner.verify --run laptop` says which results of the reference a run confirms.

The exit status is 0 when nothing is wrong, 1 when something is, and 2 when there is nothing to verify or the run is not
finished (`make` itself ends with 2 whenever a command fails).
"""

import argparse
from collections import Counter
from collections.abc import Sequence

from lib.core.cli import FAILED, REFUSED, command
from lib.core.paths import run_folder, shown
from lib.runner.verify import OK, UNDECIDED, WRONG, unfinished, verify
from lib.runner.verify.finished import REFERENCES


def main(words: Sequence[str] | None = None) -> int:
    """Print one line per check and a sum; return the exit status. StudyError when there is nothing to verify."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.verify", description=__doc__)
    parser.add_argument("--run", default="laptop", help="a finished run; laptop when left out")
    parser.add_argument("--reference", default="", help="of data/reference; the run's name if it is there, or laptop")
    given = parser.parse_args(words)
    run = run_folder(given.run)
    name = given.reference or (given.run if (REFERENCES / given.run).is_dir() else "laptop")
    checks = verify(run, REFERENCES / name)
    against = f"{shown(run)} against {shown(REFERENCES / name)}"
    print(f"{against}  ({OK} as it must be, {WRONG} not, {UNDECIDED} inconclusive, or a plain fact)")
    for check in checks:
        print(f"{check.mark}  {check.stage:<22}  {check.what}: {check.said}")
    marks = Counter(check.mark for check in checks)
    missing = unfinished(run, REFERENCES / name)
    print(f"{marks[OK]} {OK}, {marks[WRONG]} {WRONG}, {marks[UNDECIDED]} {UNDECIDED}", end="")
    print(f"; not finished: {', '.join(missing)}" if missing else "")
    return FAILED if marks[WRONG] else REFUSED if missing else 0


if __name__ == "__main__":
    command(main)
