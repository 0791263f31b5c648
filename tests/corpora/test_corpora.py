"""The pinned corpus: pins, checked downloads, archives that are only read; and the choice of a corpus."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lib import corpora
from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.corpora import Package, PackageShard, licences, packages


def wheel(folder: Path, members: dict[str, bytes]) -> PackageShard:
    """A made-up wheel in a folder, with its pin."""
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageShard(Package("made-up", "1.0", path.name, sha256, "MIT", ("made_up/*.py",)), path)


def test_the_pins_are_complete_and_permissive() -> None:
    pinned = packages.pinned()
    assert len(pinned) >= 100
    assert all(package.licence in licences.PERMISSIVE and len(package.sha256) == 64 for package in pinned)
    assert all(package.file.endswith("-none-any.whl") and package.include for package in pinned)
    assert len({package.name for package in pinned}) == len(pinned)


def test_packages_are_chosen_by_name_and_unknown_names_refused() -> None:
    chosen = packages.pinned("toolz, more-itertools,toolz")
    assert [package.name for package in chosen] == ["toolz", "more-itertools"]
    with pytest.raises(StudyError, match=r"no-such-package.*choose from.*toolz"):
        packages.pinned("toolz,no-such-package")


def test_a_copyleft_licence_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = tmp_path / "packages.yaml"
    pins.write_text(packages.PINS.read_text().replace("licence: Apache-2.0", "licence: GPL-3.0-only", 1))
    monkeypatch.setattr(packages, "PINS", pins)
    with pytest.raises(StudyError, match=r"not under a permissive licence: \w+"):
        packages.pinned()


def test_download_fetches_once_and_an_altered_file_is_refused_and_deleted(tmp_path: Path) -> None:
    (small,) = packages.pinned("inflection")
    try:
        (path,) = packages.download([small], tmp_path)
    except StudyError as error:
        pytest.skip(f"no package index: {error}")
    before = path.stat().st_mtime_ns
    assert packages.download([small], tmp_path) == [path]
    assert path.stat().st_mtime_ns == before
    assert [item.name for item in tmp_path.iterdir()] == [small.file]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StudyError, match=rf"sha256 [0-9a-f]{{64}}, expected {small.sha256}"):
        packages.download([small], tmp_path)
    assert not path.exists()


def test_a_failing_pip_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(StudyError, match="check that the package index can be reached") as caught:
        packages.download(packages.pinned("inflection"), tmp_path)
    assert "\n" not in str(caught.value)


def test_members_are_read_in_order_and_nothing_is_written(tmp_path: Path) -> None:
    members = {
        "made_up/b.py": b"def b(): pass\n",
        "made_up/a.py": b"def a(): pass\n",
        "made_up/data.txt": b"not Python",
        "made_up/tests/test_a.py": b"def test_a(): pass\n",
        "elsewhere/c.py": b"def c(): pass\n",
    }
    shard = wheel(tmp_path, members)
    files = list(shard.read())
    assert [file.path for file in files] == ["made_up/a.py", "made_up/b.py"]
    assert (files[0].package, files[0].version, files[0].licence) == ("made-up", "1.0", "MIT")
    assert files[0].data == b"def a(): pass\n"
    assert [item.name for item in tmp_path.rglob("*") if item.is_file()] == [shard.wheel.name]


def test_a_file_under_another_licence_than_its_package_is_skipped_and_counted(tmp_path: Path) -> None:
    notice = b"# This program is under the terms of the GNU General Public License, version 3.\n"
    shard = wheel(tmp_path, {"made_up/a.py": notice, "made_up/b.py": b"x = 1\n"})
    assert [(file.path, file.fault) for file in shard.read()] == [("made_up/a.py", "licence"), ("made_up/b.py", "")]


@pytest.mark.parametrize("name", ["../escaped.py", "made_up/../../escaped.py", "/escaped.py"])
def test_an_archive_that_reaches_outside_its_folder_stops_the_run(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    shard = wheel(inside, {"made_up/a.py": b"x = 1\n", name: b"x = 2\n"})
    with pytest.raises(StudyError, match=r"made_up-1\.0-py3-none-any\.whl names a path outside its folder"):
        list(shard.read())
    assert [item.name for item in tmp_path.rglob("*") if item.is_file()] == [shard.wheel.name]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    shard = wheel(tmp_path, {"made_up/a.py": b"x = 1\n" * 100})
    whole = shard.wheel.read_bytes()
    for damaged in (whole[:40], whole.replace(b"x = 1", b"x = 2", 1), b""):
        shard.wheel.write_bytes(damaged)
        with pytest.raises(StudyError, match=r"made_up-1\.0-py3-none-any\.whl is a damaged archive"):
            list(shard.read())


def test_a_wheel_under_another_licence_than_its_pin_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = b"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\nLicense-Expression: GPL-3.0-only\n"
    shard = wheel(tmp_path, {"made_up/a.py": b"x = 1\n", "made_up-1.0.dist-info/METADATA": terms})
    monkeypatch.setattr(packages, "pinned", lambda names: [shard.package])
    monkeypatch.setattr(packages, "download", lambda wanted: [shard.wheel])
    with pytest.raises(StudyError, match="made.up.*GPL"):
        packages.package_shards()


def test_the_corpus_is_chosen_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    (shard,) = corpora.open_corpus(str(tmp_path), licence="MIT")
    assert [(file.path, file.licence) for file in shard.read()] == [("one.py", "MIT")]
    for corpus in (str(tmp_path / "absent"), "hub:no/such/name"):
        with pytest.raises(StudyError):
            corpora.open_corpus(corpus, licence="MIT")
    with pytest.raises(StudyError, match="LICENCE"):
        corpora.open_corpus(str(tmp_path))


def test_the_corpus_is_never_imported(tmp_path: Path) -> None:
    """A file whose import would leave a trace is read without one."""
    trace = tmp_path / "trace"
    (tmp_path / "trap.py").write_text(f"open({str(trace)!r}, 'w')\ndef f(x):\n    'Doc.'\n    return x\n")
    code = "import sys; from lib import corpora; from lib.curate import extract\n"
    code += "(shard,) = corpora.open_corpus(sys.argv[1], licence='MIT'); (file,) = shard.read()\n"
    code += "assert [f.node.name for f in extract.functions(file)] == ['f']"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    assert not trace.exists()
