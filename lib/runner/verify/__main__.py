"""A reviewer's command: `python -m lib.runner.verify --run laptop` says which results of the reference a run bears out.

The exit status is 0 when nothing is wrong, 1 when something is, and 2 when there is nothing to verify or the run is not
finished (`make` itself ends with 2 whenever a command fails).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from lib.core.paths import ROOT, run_folder, shown
from lib.core.records import StudyError
from lib.core.study import NOTEBOOKS
from lib.runner.verify import OK, UNTOLD, WRONG, verify

REFERENCES = ROOT / "data" / "reference"


def main(words: Sequence[str] | None = None) -> int:
    """Print one line a check and a sum; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.verify", description=__doc__)
    parser.add_argument("--run", default="laptop", help="a finished run; laptop when left out")
    parser.add_argument("--reference", default="", help="of data/reference; the run's name if it is there, or laptop")
    given = parser.parse_args(words)
    try:
        run = run_folder(given.run)
        name = given.reference or (given.run if (REFERENCES / given.run).is_dir() else "laptop")
        checks = verify(run, REFERENCES / name)
    except StudyError as error:
        print(f"nothing to verify: {error}", file=sys.stderr)
        return 2
    print(
        f"{shown(run)} against {shown(REFERENCES / name)}  ({OK} as it must be, {WRONG} not, {UNTOLD} cannot be told)"
    )
    for check in checks:
        print(f"{check.mark}  {check.stage:<22}  {check.what}: {check.said}")
    marks = Counter(check.mark for check in checks)
    unfinished = [stage for stage in NOTEBOOKS if not (run / stage / "manifest.json").is_file()]
    print(f"{marks[OK]} {OK}, {marks[WRONG]} {WRONG}, {marks[UNTOLD]} {UNTOLD}", end="")
    print(f"; not finished: {', '.join(unfinished)}" if unfinished else "")
    return 1 if marks[WRONG] else 2 if unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
