"""What is left out, and the fixtures that all tests share."""

import os

import pytest
from helpers import BROWSER, Runner

from lib.core.paths import ROOT

SHARED = ROOT.parent / "shared"  # benchmark data and programs that are on no package index; not every checkout has them
SLOW = os.environ.get("SLOW", "") not in ("", "0")
LEFT_OUT = {
    "shared": "need the data of ../shared, which is not beside this checkout",
    "browser": "need a browser, such as Debian's chromium: apt-get install chromium",
    "slow": "only add certainty, by repetition or size: make test SLOW=1 runs them",
}
left_out = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config, items):
    """Leave out what cannot or need not run here; one line at the end says how much that was, and why."""
    absent = {"shared": not SHARED.is_dir(), "browser": not BROWSER, "slow": not SLOW}
    reasons = [next((mark for mark in absent if absent[mark] and item.get_closest_marker(mark)), "") for item in items]
    counts = config.stash[left_out] = {mark: reasons.count(mark) for mark in absent if mark in reasons}
    if hasattr(config, "workeroutput"):  # one of several processes: tell the one that reports
        config.workeroutput["left out"] = counts
    config.hook.pytest_deselected(items=[item for item, reason in zip(items, reasons, strict=True) if reason])
    items[:] = [item for item, reason in zip(items, reasons, strict=True) if not reason]
    items.sort(key=lambda item: not item.get_closest_marker("longest"))  # first: so none waits for it


class Workers:
    """Hears from the processes of pytest-xdist how many tests they left out; each collects all tests."""

    @staticmethod
    def pytest_testnodedown(node, error):
        node.config.stash[left_out] = getattr(node, "workeroutput", {}).get("left out", {})


def pytest_configure(config):
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers())


def pytest_terminal_summary(terminalreporter, config):
    for mark, count in config.stash.get(left_out, {}).items():
        terminalreporter.write_line(f"{count} tests left out: they {LEFT_OUT[mark]}")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny model of tests/tiny.py, as lib.core.models would resolve it."""
    import torch
    from tiny import make  # here, because most tests need no torch

    torch.set_num_threads(1)  # a model this small only loses by sharing its work
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)
