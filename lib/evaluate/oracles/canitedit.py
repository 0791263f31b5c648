"""How much of an edited program its tests do not reach; sent into the box as a whole program, with three files.

Settings and arithmetic are those of the authors' evaluator_overlay.py, .coveragerc and pass_k.py.
"""

import difflib
import json
import runpy
from pathlib import Path

BEFORE, AFTER, WHOLE = "before.py", "after.py", "edited.py"  # the program as given, as edited, and that with its tests
FOUND = "lines.json"
ABSTRACT = r"@(abc\.)?abstractmethod"  # coverage.py leaves out what follows a line that matches


def uncovered(ranges: str) -> int:
    """Return the number of lines in coverage.py's text of what is missing: "4, 17-19" is four, comments included."""
    spans = [span.split("-") for span in ranges.split(", ") if span]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def lines_of_difference(before: str, after: str) -> int:
    """Return the number of lines that difflib.Differ lists: changed ones, its hints, and unchanged ones, too."""
    return sum(1 for _ in difflib.Differ().compare(before.splitlines(), after.splitlines()))


def main() -> None:
    """Run the edited program with its tests, and leave what was found; nothing when the program fails."""
    import coverage  # only in the box

    measured = coverage.Coverage(data_file=None, config_file=False, include=[WHOLE])
    measured.exclude(ABSTRACT)
    measured.start()
    runpy.run_path(WHOLE, run_name="__main__")
    measured.stop()
    _, statements, _, missing, ranges = measured.analysis2(WHOLE)
    found = {"uncovered": uncovered(ranges), "statements": len(statements), "missing": len(missing)}
    found["lines"] = lines_of_difference(Path(BEFORE).read_text("utf-8"), Path(AFTER).read_text("utf-8"))
    Path(FOUND).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
