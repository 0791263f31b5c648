"""The corpus: pins, downloads that are checked, archives that are only read, folders."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from lib import corpora
from lib.corpora import Package
from lib.study import StudyError


def wheel(folder: Path, members: dict[str, bytes]) -> tuple[Package, Path]:
    """A made-up wheel in a folder, and the pin that fits it."""
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Package("made-up", "1.0", path.name, sha256, "MIT", ("made_up/*.py", "../*.py")), path


def test_the_pins_are_complete_and_permissive() -> None:
    pinned = corpora.packages()
    assert len(pinned) >= 12
    assert all(package.licence in corpora.PERMISSIVE and len(package.sha256) == 64 for package in pinned)
    assert all(package.file.endswith("-none-any.whl") and package.include for package in pinned)
    assert len({package.name for package in pinned}) == len(pinned)


def test_packages_are_chosen_by_name_and_unknown_names_refused() -> None:
    assert [package.name for package in corpora.packages("toolz, more-itertools")] == ["toolz", "more-itertools"]
    with pytest.raises(StudyError, match=r"no-such-package.*choose from.*toolz"):
        corpora.packages("toolz,no-such-package")


def test_a_copyleft_licence_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = tmp_path / "packages.yaml"
    pins.write_text(corpora.PINS.read_text().replace("licence: Apache-2.0", "licence: GPL-3.0-only"))
    monkeypatch.setattr(corpora, "PINS", pins)
    with pytest.raises(StudyError, match=r"permissive licence: fastcore, nltk"):
        corpora.packages()


def test_download_fetches_once_and_an_altered_file_is_refused_and_deleted(tmp_path: Path) -> None:
    (small,) = corpora.packages("inflection")
    try:
        (path,) = corpora.download([small], tmp_path)
    except StudyError as error:
        pytest.skip(f"no package index: {error}")
    before = path.stat().st_mtime_ns
    assert corpora.download([small], tmp_path) == [path]
    assert path.stat().st_mtime_ns == before
    assert [item.name for item in tmp_path.iterdir()] == [small.file]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StudyError, match=rf"sha256 [0-9a-f]{{64}}, expected {small.sha256}"):
        corpora.download([small], tmp_path)
    assert not path.exists()


def test_a_failing_pip_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(StudyError, match="check that the package index can be reached") as caught:
        corpora.download(corpora.packages("inflection"), tmp_path)
    assert "\n" not in str(caught.value)


def test_members_are_read_in_order_and_nothing_is_written(tmp_path: Path) -> None:
    members = {
        "made_up/b.py": b"def b(): pass\n",
        "made_up/a.py": b"def a(): pass\n",
        "made_up/data.txt": b"not Python",
        "made_up/tests/test_a.py": b"def test_a(): pass\n",
        "../escaped.py": b"def escaped(): pass\n",
        "elsewhere/c.py": b"def c(): pass\n",
    }
    inside = tmp_path / "inside"
    inside.mkdir()
    package, path = wheel(inside, members)
    files = list(corpora.read_package(package, path))
    assert [file.path for file in files] == ["../escaped.py", "made_up/a.py", "made_up/b.py"]
    assert (files[1].package, files[1].version, files[1].licence) == ("made-up", "1.0", "MIT")
    assert files[1].data == b"def a(): pass\n"
    assert [item.name for item in tmp_path.rglob("*") if item.is_file()] == [path.name]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    package, path = wheel(tmp_path, {"made_up/a.py": b"x = 1\n" * 100})
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StudyError, match=r"made_up-1\.0-py3-none-any\.whl is a damaged archive"):
        list(corpora.read_package(package, path))


def test_a_folder_needs_a_licence_and_python_files(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="set LICENCE"):
        list(corpora.read_corpus(str(tmp_path)))
    with pytest.raises(StudyError, match="no Python file"):
        list(corpora.read_corpus(str(tmp_path), licence="MIT"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.py").write_text("x = 1\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "one.py")
    (file,) = corpora.read_corpus(str(tmp_path), licence="MIT")
    assert (file.path, file.licence, file.version, file.package) == ("sub/one.py", "MIT", "local", tmp_path.name)


def test_the_corpus_is_never_imported(tmp_path: Path) -> None:
    """Reading a file whose import would leave a trace leaves none."""
    trace = tmp_path / "trace"
    (tmp_path / "trap.py").write_text(f"open({str(trace)!r}, 'w')\ndef f(x):\n    'Doc.'\n    return x\n")
    code = "import sys; from pathlib import Path; from lib import corpora; from lib.curate import extract\n"
    code += "found, _ = extract.extract(corpora.read_folder(Path(sys.argv[1]), 'MIT')); assert len(found) == 1"
    subprocess.run([corpora.sys.executable, "-c", code, str(tmp_path)], check=True, cwd=corpora.ROOT)
    assert not trace.exists()
