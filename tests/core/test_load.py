"""Cores that other programs keep busy, from /proc/stat."""

import time
from pathlib import Path

from lib.core.load import Others


def stat(path: Path, busy: int, idle: int) -> Path:
    path.write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 9999 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    return path


def test_others_are_what_is_busy_beside_this_process(tmp_path: Path) -> None:
    others = Others(stat(tmp_path / "stat", busy=1000, idle=5000))
    time.sleep(0.1)
    stat(tmp_path / "stat", busy=2000, idle=5000)  # ten seconds of a core
    assert "cores busy: stop them" in others.in_words()
    stat(tmp_path / "stat", busy=2000, idle=9000)
    assert others.cores() == 0 and others.in_words() == ""


def test_this_process_does_not_count(tmp_path: Path) -> None:
    others, started = Others(stat(tmp_path / "stat", busy=1000, idle=5000)), time.process_time()
    while time.process_time() < started + 0.3:
        pass
    stat(tmp_path / "stat", busy=1020, idle=5000)
    assert others.cores() == 0


def test_this_machines_own_counts_can_be_read() -> None:
    assert Others().cores() >= 0
