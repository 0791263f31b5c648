"""Writes the lineage page: `python -m lib.lineage --run laptop`, or `--folder data/reference/laptop`."""

import argparse
from pathlib import Path

from lib.core.cli import command
from lib.core.paths import ROOT, run_folder, shown
from lib.lineage.page import write_page


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(prog="python -m lib.lineage", description=__doc__)
    parser.add_argument("--run", default="", help="a run of data/runs; its page goes into its folder")
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "reference" / "laptop", help="or a reference")
    parser.add_argument("--out", type=Path, help="the page's folder; data/runs/<run>/lineage, or site/lineage")
    given = parser.parse_args()
    folder = run_folder(given.run) if given.run else given.folder.resolve()
    out = given.out or (folder / "lineage" if given.run else ROOT / "site" / "lineage")
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"open {shown(write_page(folder, out))} in a browser")


if __name__ == "__main__":
    command(main)
