"""The licence check: made-up wheels and the pinned ones, each compared with its pin."""

import zipfile
from pathlib import Path

import pytest

from lib.core.paths import cache_folder
from lib.core.records import StudyError
from lib.corpora import licences, packages

INFO = "made_up-1.0.dist-info"
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files. The above copyright notice and this permission notice shall be included in all copies."""
BSD_2 = "Redistribution and use in source and binary forms, with or without modification, are permitted."
BSD_3 = f"{BSD_2} Nobody's name may be used to endorse or promote products derived from this software."
GPL = "You may use it under the terms of the GNU General Public License as published by the FSF."
APACHE = "Licensed under the Apache License, Version 2.0."


def wheel(folder: Path, headers: str = "", **files: str) -> Path:
    """A made-up wheel; a file's key is its path with "__" for "/", below the metadata folder unless it has one."""
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{INFO}/METADATA", f"Metadata-Version: 2.1\nName: made-up\n{headers}\n\nA description.\n")
        archive.writestr("made_up/a.py", "x = 1\n")
        for key, text in files.items():
            name = key.replace("__", "/")
            archive.writestr(name if "/" in name else f"{INFO}/{name}", text)
    return path


@pytest.mark.parametrize(
    ("headers", "files", "licence"),
    [
        ("License: MIT", {}, "MIT"),
        ("License-Expression: MIT", {"LICENSE": MIT}, "MIT"),
        ("Classifier: License :: OSI Approved :: MIT License", {}, "MIT"),
        ("", {"LICENSE": MIT}, "MIT"),
        ("", {"made_up__LICENSE": MIT}, "MIT"),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", {"LICENSE": BSD_2}, "BSD-2-Clause"),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", {"LICENSE": BSD_3}, "BSD-3-Clause"),
        ("License: Apache License, Version 2.0", {"NOTICE": GPL}, "Apache-2.0"),
        ("License-Expression: MIT OR GPL-2.0-only", {}, "MIT"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved", {"COPYING": APACHE}, "Apache-2.0"),
    ],
)
def test_statements_that_agree_with_the_pin_pass(
    tmp_path: Path, headers: str, files: dict[str, str], licence: str
) -> None:
    assert licences.check(wheel(tmp_path, headers, **files), licence)


@pytest.mark.parametrize(
    ("headers", "files", "licence", "reason"),
    [
        ("License: MIT", {}, "GPL-3.0-only", "GPL-3.0-only is not a permissive licence"),
        ("License-Expression: GPL-3.0-or-later", {}, "MIT", "says GPL-3.0-or-later"),
        ("License: MIT", {"LICENSE": GPL}, "MIT", "LICENSE states GPL, not permissive"),
        ("License: MIT", {"LICENSE": f"{MIT} Parts: {GPL}"}, "MIT", "states GPL, not permissive"),
        ("License-Expression: MIT AND GPL-2.0-only", {}, "MIT", "says MIT AND GPL-2.0-only"),
        (
            "Classifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            {},
            "MIT",
            "GNU General Public License",
        ),
        ("Classifier: License :: Other/Proprietary License", {"LICENSE": MIT}, "MIT", "Proprietary"),
        ("", {}, "MIT", "its licence is unknown"),
        ("License: UNKNOWN", {}, "MIT", "its licence is unknown"),
        ("Classifier: License :: OSI Approved :: BSD License", {}, "BSD-3-Clause", "its licence is unknown"),
        ("License: MIT", {}, "Apache-2.0", "says MIT, pinned is Apache-2.0"),
        ("License: MIT", {"LICENSE": APACHE}, "MIT", "licence files state Apache-2.0, pinned is MIT"),
        ("License: MIT", {"LICENSE": "Ask me."}, "MIT", "licence files state no known licence"),
        ("License: BSD", {"LICENSE": BSD_2}, "BSD-3-Clause", "state BSD-2-Clause, pinned is BSD-3-Clause"),
        ("License: BSD", {"LICENSE": BSD_3}, "BSD-2-Clause", "state BSD-3-Clause, pinned is BSD-2-Clause"),
        ("License: MIT", {"made_up__extra__LICENSE": BSD_3, "made_up__extra__b.py": ""}, "MIT", "made_up/extra"),
        ("License: MIT", {"made_up___vendor__b.py": ""}, "MIT", "another project's code"),
    ],
)
def test_statements_that_do_not_agree_are_refused(
    tmp_path: Path, headers: str, files: dict[str, str], licence: str, reason: str
) -> None:
    with pytest.raises(StudyError, match=rf"^made_up: .*{reason}") as caught:
        licences.check(wheel(tmp_path, headers, **files), licence)
    assert "\n" not in str(caught.value)


def test_an_excluded_folder_is_ignored(tmp_path: Path) -> None:
    files = {"made_up__extra__LICENSE": GPL, "made_up__extra__b.py": "", "made_up___vendor__c.py": ""}
    assert licences.check(wheel(tmp_path, "License: MIT", **files), "MIT", ["made_up/a.py"]) == ["License: MIT"]


def test_every_pinned_wheel_in_the_cache_passes() -> None:
    folder = cache_folder() / "corpora"
    here = [package for package in packages.pinned() if (folder / package.file).exists()]
    if not here:
        pytest.skip("no pinned wheel has been fetched yet")
    for package in here:
        assert licences.check(folder / package.file, package.licence, package.include)
