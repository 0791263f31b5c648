"""The energy meter reads a powercap tree as Linux writes it, with counters that wrap, and never raises."""

from pathlib import Path

import pytest

from lib.train.energy import EnergyMeter

RANGE = 262_143_328_850  # microjoules, of a real package


def zone(root: Path, name: str, label: str, energy: int) -> Path:
    """Make a powercap zone; return its counter's file."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    return folder / "energy_uj"


def test_joules_are_summed_over_packages_and_over_their_wraps(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", RANGE - 1_000_000)
    meter = EnergyMeter(tmp_path)
    assert meter.counters.startswith("2 CPU packages (RAPL)") and meter.joules() == 0
    first.write_text("8000000\n")
    second.write_text("500000\n")
    assert meter.joules() == pytest.approx(3 + 1.5)
    second.write_text("2500000\n")
    assert meter.joules() == pytest.approx(3 + 3.5)
    second.write_text("100000\n")  # wrapped a second time
    assert meter.joules() == pytest.approx(3 + 1.1 + RANGE / 1e6)


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    counted = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:1", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    meter = EnergyMeter(tmp_path)
    for file in (counted, *others):
        file.write_text("7000000\n")
    assert meter.joules() == pytest.approx(7) and meter.counters.startswith("1 CPU package (RAPL)")


@pytest.mark.parametrize("broken", ["energy_uj", "max_energy_range_uj", "name"])
def test_counters_that_cannot_be_read_are_left_out(tmp_path: Path, broken: str) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0).with_name(broken)
    file.unlink()
    file.mkdir()  # unreadable for the superuser, too
    meter = EnergyMeter(tmp_path)
    assert meter.joules() is None and meter.counters == ""
    assert EnergyMeter(tmp_path / "none").joules() is None


def test_a_counter_that_fails_gives_none_until_it_works_again(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = EnergyMeter(tmp_path)
    file.write_text("\n")
    assert meter.joules() is None
    file.write_text("4000000\n")
    assert meter.joules() == pytest.approx(4)
