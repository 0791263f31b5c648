"""Where things lie: the repository, the cache of downloads, the folder of all runs."""

import os
from pathlib import Path

from lib.core.records import StudyError

ROOT = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Return where downloads and converted models are kept: STUDY_CACHE, else ~/.cache/selfcodealign-study."""
    return Path(os.environ.get("STUDY_CACHE") or Path.home() / ".cache" / "selfcodealign-study").expanduser()


def runs_folder() -> Path:
    """Return the folder of all runs: STUDY_RUNS, else data/runs."""
    return Path(os.environ.get("STUDY_RUNS") or ROOT / "data" / "runs").expanduser()


def run_folder(run: str) -> Path:
    """Return a run's folder; StudyError when the name is not a plain folder name."""
    if not run or run != Path(run).name or run.startswith("."):
        raise StudyError(f"RUN={run!r} is not a folder name; use letters, digits, - and _")
    return runs_folder() / run


def shown(path: Path) -> str:
    """Return a path as it is printed: relative to the repository when it lies inside."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
