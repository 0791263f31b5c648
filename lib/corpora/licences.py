"""The licence of a wheel, read from its metadata and licence files and compared with the pinned SPDX name."""

import fnmatch
import re
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from lib.core.records import StudyError

PERMISSIVE = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense",
    "ZPL-2.1", "Zlib",
})  # fmt: skip

# A statement is the set of licences that it may mean: one name when it is exact, several for a family or a choice.
Statement = frozenset[str]

# Trove classifiers; any other licence classifier stands for itself and is thus refused as not permissive.
_CLASSIFIERS = {
    "Apache Software License": {"Apache-2.0"},
    "BSD License": {"BSD-2-Clause", "BSD-3-Clause"},
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": {"CC0-1.0"},
    "ISC License (ISCL)": {"ISC"},
    "MIT License": {"MIT"},
    "MIT No Attribution License (MIT-0)": {"MIT-0"},
    "Python Software Foundation License": {"PSF-2.0"},
    "The Unlicense (Unlicense)": {"Unlicense"},
    "zlib/libpng License": {"Zlib"},
}

# The free `License` field, lower case, without punctuation and the words the, license, licence and version.
_FIELDS = {
    "apache": {"Apache-2.0"}, "apache 2": {"Apache-2.0"}, "apache 2 0": {"Apache-2.0"}, "asl 2 0": {"Apache-2.0"},
    "apache software": {"Apache-2.0"}, "apache software 2 0": {"Apache-2.0"},
    "apache2": {"Apache-2.0"}, "apache v2": {"Apache-2.0"}, "apache v2 0": {"Apache-2.0"},
    "bsd": {"BSD-2-Clause", "BSD-3-Clause"}, "2 clause bsd": {"BSD-2-Clause"},
    "bsd 2 clause": {"BSD-2-Clause"}, "simplified bsd": {"BSD-2-Clause"}, "3 clause bsd": {"BSD-3-Clause"},
    "bsd 3 clause": {"BSD-3-Clause"}, "modified bsd": {"BSD-3-Clause"}, "new bsd": {"BSD-3-Clause"},
    "cc0": {"CC0-1.0"}, "isc": {"ISC"}, "mit": {"MIT"}, "mit mit": {"MIT"}, "psf": {"PSF-2.0"},
    "unlicense": {"Unlicense"}, "zpl 2 1": {"ZPL-2.1"},
}  # fmt: skip

# Phrases of the licence texts themselves, as lower-case words; each rule is what must and what must not occur.
_MIT_GRANT = "free of charge to any person obtaining a copy of this software and associated documentation files"
_MIT_NOTICE = "permission notice shall be included in all"
_ISC_GRANT = "distribute this software for any purpose with or without fee is hereby granted"
_ISC_NOTICE = "provided that the above copyright notice"
_BSD_GRANT = "redistribution and use in source and binary forms"
_ENDORSE = "endorse or promote products"
_ADVERTISING = "all advertising materials mentioning"
_VENDORED = re.compile(r"(^|/)_?(vendor(ed|s)?|third_?party|3rd_?party|extern)/")  # folders of other projects' code
_TEXTS: list[tuple[str, list[str], list[str]]] = [
    ("MIT", [_MIT_GRANT, _MIT_NOTICE], []),
    ("MIT-0", [_MIT_GRANT], [_MIT_NOTICE]),
    ("ISC", [_ISC_GRANT, _ISC_NOTICE], []),
    ("0BSD", [_ISC_GRANT], [_ISC_NOTICE]),
    ("BSD-2-Clause", [_BSD_GRANT], [_ENDORSE, _ADVERTISING]),
    ("BSD-3-Clause", [_BSD_GRANT, _ENDORSE], [_ADVERTISING, "zope public"]),
    ("BSD-4-Clause", [_BSD_GRANT, _ADVERTISING], []),
    ("Apache-2.0", ["apache license version 2 0"], []),
    ("Apache-1.1", ["apache software license version 1 1"], []),
    ("PSF-2.0", ["python software foundation license version 2"], []),
    ("ZPL-2.1", ["zope public license zpl version 2 1"], []),
    ("Unlicense", ["free and unencumbered software released into the public domain"], []),
    ("CC0-1.0", ["cc0 1 0 universal"], []),
    ("Zlib", ["altered source versions must be plainly marked as such"], []),
    ("MPL", ["mozilla public license v"], []),
    ("EPL", ["eclipse public license v"], []),
    ("EUPL", ["european union public licence"], []),
    ("CDDL", ["common development and distribution license"], []),
    ("AGPL", ["gnu affero general public license"], []),
    ("LGPL", ["gnu lesser general public license"], []),
    ("LGPL", ["gnu library general public license"], []),
    ("GPL", ["gnu general public license v"], []),
    ("GPL", ["terms of the gnu general public license"], []),
    ("CC-BY", ["creative commons attribution"], []),
    ("CC-BY-SA", ["attribution sharealike"], []),
    ("CC-BY-NC", ["attribution noncommercial"], []),
]


def check(wheel: Path, licence: str, include: Sequence[str] = ("*",)) -> list[str]:
    """What the wheel states about its licence, one line per source; all of it agrees with the pinned SPDX licence.

    The sources are METADATA and every licence file that covers a member matching `include`: those of the metadata
    folder, and those in a package folder that holds included members. An explicit choice such as
    "MIT OR GPL-2.0-only" may be pinned to its permissive side. Raises StudyError, naming the package, when nothing
    states a licence, when any licence is not in PERMISSIVE or not the pinned one, or when `include` covers a folder of
    vendored code.
    """
    package = wheel.name.split("-")[0]
    if licence not in PERMISSIVE:
        raise StudyError(f"{package}: {licence} is not a permissive licence; remove the package from the corpus")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next((name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)), None)
        fields = _fields(BytesParser().parsebytes(archive.read(metadata))) if metadata else []
        texts = [(name, stated(archive.read(name))) for name in names if _covers(name, names, include)]
    offered = {choice for _, choices in fields if licence in choices for choice in choices}
    for source, choices in fields:
        if licence not in choices:
            raise StudyError(f"{package}: {source} says {_or(choices)}, pinned is {licence}; correct or drop the pin")
    for source, found in texts:
        if refused := found - PERMISSIVE - offered:
            raise StudyError(f"{package}: {source} states {_or(refused)}, not permissive; drop the package")
        if licence not in found and not _is_root(source):
            raise StudyError(f"{package}: {source} states {_or(found)}, pinned is {licence}; exclude what it covers")
    if foreign := next((n for n in names if _VENDORED.search(n) and _is_included(n, include)), None):
        raise StudyError(f"{package}: {foreign} is another project's code; exclude its folder from `include`")
    own = [found for source, found in texts if _is_root(source)]
    if own and not any(licence in found for found in own):
        every = _or(frozenset().union(*own))
        raise StudyError(f"{package}: its licence files state {every}, pinned is {licence}; correct or drop the pin")
    exact = any(choices == {licence} or source == "License-Expression" for source, choices in fields)
    if not exact and not any(licence in found for _, found in texts):
        raise StudyError(f"{package}: its licence is unknown, nothing in {wheel.name} states it; drop the package")
    return [f"{source}: {_or(found)}" for source, found in [*fields, *texts]]


def stated(data: bytes) -> Statement:
    """The licences whose words a text contains, PERMISSIVE or not; several when it covers parts of several origins.

    For licence files and for the notice at the head of a source file; families such as "GPL" have no version.
    """
    text = _words(data.decode("utf-8", "replace"))
    names = [name for name, has, lacks in _TEXTS if all(p in text for p in has) and not any(p in text for p in lacks)]
    return frozenset(names)


def _fields(metadata: Message) -> list[tuple[str, Statement]]:
    """The statements of a METADATA file; empty fields are left out."""
    found: list[tuple[str, Statement]] = []
    if expression := metadata.get("License-Expression"):
        found.append(("License-Expression", _of_expression(expression)))
    field = str(metadata.get("License") or "").strip()
    if field and field.upper() not in ("UNKNOWN", "NONE"):
        found.append(("License", _of_field(field)))
    for classifier in metadata.get_all("Classifier") or []:
        name = str(classifier).split(" :: ")[-1].strip()
        if str(classifier).startswith("License :: ") and name != "OSI Approved":
            found.append(("Classifier", frozenset(_CLASSIFIERS.get(name, {name}))))
    return found


def _of_expression(text: str) -> Statement:
    """The licences one may choose from; several that all apply stand for themselves, since no pin names them all."""
    try:
        expression = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return frozenset({text})
    return frozenset({expression}) if " AND " in expression else frozenset(expression.strip("()").split(" OR "))


def _of_field(text: str) -> Statement:
    """The free field: an SPDX name, a licence's usual name, or its whole text; anything else stands for itself."""
    words = [word for word in _words(text).split() if word not in ("the", "license", "licence", "version")]
    if known := _FIELDS.get(" ".join(words)):
        return frozenset(known)
    return stated(text.encode()) or _of_expression(text.split("\n")[0][:60])


def _covers(name: str, names: Sequence[str], include: Sequence[str]) -> bool:
    """Whether a member is a licence file of the whole wheel or of a folder with included Python files."""
    folder, _, file = name.rpartition("/")
    if not re.match(r"(un)?licen[sc]e|copying", file, re.IGNORECASE) or file.endswith((".py", ".pyi", ".pyc")):
        return False
    # Licence files of vendored folders are filed as *.dist-info/licenses/<folder>/<file> (PEP 639).
    folder = re.sub(r"^[^/]+\.dist-info(/licenses)?(/|$)", "", folder)
    return not folder or any(n.startswith(f"{folder}/") and _is_included(n, include) for n in names)


def _is_included(name: str, include: Sequence[str]) -> bool:
    return name.endswith(".py") and any(fnmatch.fnmatchcase(name, pattern) for pattern in include)


def _is_root(name: str) -> bool:
    return re.match(r"[^/]+\.dist-info/(licenses/)?[^/]+$", name) is not None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _or(names: Statement) -> str:
    return " or ".join(sorted(names)) or "no known licence"
