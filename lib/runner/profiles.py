"""Profiles: a YAML file of parameters per notebook, every name and type checked."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import ReaderError

from lib.core.notebooks import check_types, parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.core.study import STAGES

FOLDER = ROOT / "notebooks" / "params"
SUFFIXES = (".yaml", ".yml")
BASE = "BASE"  # the first name of a file may be this: the profile whose values it changes
FORM = "write NAME: value, a line each, below a notebook's name, as notebooks/params/smoke.yaml does"

TAG = "tag:yaml.org,2002:"
WHOLE = r"(?:0|[1-9][0-9]*(?:_[0-9]+)*)"
POWER = r"[eE][-+]?[0-9]+"
# What a word without quotes may be beside text. YAML 1.1, which PyYAML reads, has more: 010 is 8, 1:30 is 90, `no` is
# false, and 2024-01-01 a date. Such words are text here, which a parameter of another type refuses.
WORDS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": rf"[-+]?{WHOLE}",
    "float": rf"[-+]?(?:{WHOLE}(?:\.[0-9]*)?{POWER}|{WHOLE}\.[0-9]*|\.[0-9]+(?:{POWER})?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)",
}


class Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-5 is a number, a word is text, and no name may be written twice."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}
    yaml_constructors: dict[str | None, Any] = {
        None: SafeConstructor.construct_undefined,
        f"{TAG}str": SafeConstructor.construct_yaml_str,
        f"{TAG}seq": SafeConstructor.construct_yaml_seq,
        f"{TAG}map": SafeConstructor.construct_yaml_map,
    }

    def entries(self, node: Node | None) -> list[tuple[str, int, Node]]:
        """Return the names of a mapping, each with its line and what it stands for; none where nothing is written."""
        if node is None or node.tag == f"{TAG}null":
            return []
        if not isinstance(node, MappingNode):
            refuse(node, "a list or a bare value stands where names belong", FORM)
        lines: dict[str, int] = {}
        found: list[tuple[str, int, Node]] = []
        for key, value in node.value:
            if key.tag != f"{TAG}str":
                refuse(key, "a name must be text", "put it in quotes")
            name, line = self.construct_scalar(key), key.start_mark.line + 1
            if name in lines:
                refuse(key, f"{name} is written twice, first in line {lines[name]}", "keep one of the two")
            lines[name] = line
            found.append((name, line, value))
        return found

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, of which PyYAML would take the last of two equal names in silence."""
        return {name: self.construct_object(value, deep=True) for name, _, value in self.entries(node)}

    def construct_word(self, node: ScalarNode) -> None | bool | int | float:
        """Return what a word stands for; refused where an explicit tag claims what it is not, such as !!int 0x10."""
        word, kind = self.construct_scalar(node), node.tag.removeprefix(TAG)
        if not re.fullmatch(WORDS[kind], word):
            refuse(node, f"{word} is no {kind}", "write the value alone, without a tag")
        if kind == "null":
            return None
        if kind == "bool":
            return word.lower() == "true"
        return int(word) if kind == "int" else float(re.sub(r"\.(?=[in])", "", word.lower()))


for kind, pattern in WORDS.items():
    Loader.add_implicit_resolver(TAG + kind, re.compile(rf"(?:{pattern})\Z"), None)
    Loader.add_constructor(TAG + kind, Loader.construct_word)


def refuse(node: Node, problem: str, remedy: str) -> NoReturn:
    """Raise what load_profile turns into a line with the file and the place."""
    raise ConstructorError(None, None, problem, node.start_mark, remedy)


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Return {notebook: {parameter: value}} of a profile, every name and type checked.

    A profile is the name of a file in notebooks/params, or the path of a YAML file of one's own. Its values are put
    over those of its BASE, if it names one; a list or a mapping replaces another as a whole. StudyError, with the file,
    the line and the remedy, for what is no such file, is written twice, is unknown, has a wrong type or is a circle.
    """
    defaults = {stage.name: parameter_defaults(stage.name) for stage in STAGES}
    settled = {name: dict(values) for name, values in defaults.items()}
    for path in reversed(files_of(profile)):
        for line, name, values in written(path):
            if name == BASE:
                continue
            try:
                if name not in settled:
                    raise StudyError(f"there is no notebook {name}; the study has {', '.join(settled)}")
                if "RUN" in values:
                    raise StudyError(f"{name}: RUN is the same for all notebooks; give it on the command line as RUN=")
                check_types(name, values, defaults[name])
            except StudyError as error:
                raise StudyError(f"{path}, line {line}: {error}") from error
            settled[name].update(values)
    return settled


def files_of(profile: str) -> list[Path]:
    """Return the files of a profile: its own, that of its BASE, and so on; StudyError for a missing one or a circle."""
    files = [path_of(profile)]
    while named := [(line, values[BASE]) for line, name, values in written(files[-1]) if name == BASE]:
        files.append(base_of(files, *named[0]))
    return files


def base_of(files: list[Path], line: int, base: str) -> Path:
    """Return the file that BASE names in a line of the last of `files`, which must not be one of them.

    A name with a suffix is that of a file beside the one that names it. StudyError as `files_of`.
    """
    path = files[-1]
    try:
        found = path_of(str(path.parent / base) if base.lower().endswith(SUFFIXES) else base, BASE)
    except StudyError as error:
        raise StudyError(f"{path}, line {line}: {error}") from error
    if found.resolve() in [each.resolve() for each in files]:
        circle = " < ".join(each.name for each in [*files, found])
        raise StudyError(f"{path}, line {line}: BASE={base} makes a circle ({circle}); remove one BASE of these")
    return found


def written(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the line, the notebook and the value of every parameter that a file sets; first each notebook with none.

    BASE comes first, as a notebook that is called so. StudyError for what is not YAML of this form.
    """
    text, place = text_of(path), ""
    try:
        loader = Loader(text)
        for number, (name, line, section) in enumerate(loader.entries(loader.get_single_node())):
            if name == BASE:
                base = loader.construct_object(section, deep=True)
                if number or not isinstance(base, str) or not base:
                    refuse(section, "BASE names a profile and stands first", "write BASE: NAME in the first line")
                yield line, BASE, {BASE: base}
                continue
            yield line, name, {}
            place = f"{name}: "
            for key, inner, node in loader.entries(section):
                place = f"{name}: {key}: "
                yield inner, name, {key: loader.construct_object(node, deep=True)}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = ", ".join(filter(None, (error.context, error.problem)))
        raise StudyError(f"{path}, line {line}: {place}{said}; {error.note or FORM}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise StudyError(f"{path}, line {line}: YAML has no character U+{error.character:04X}; remove it") from error


def path_of(profile: str, what: str = "PROFILE") -> Path:
    """Return the file of a profile; StudyError, which says `what` names it, when there is none."""
    own = profile.lower().endswith(SUFFIXES)
    for path in [Path(profile)] if own else [FOLDER / f"{profile}{suffix}" for suffix in SUFFIXES]:
        if os.path.exists(path):  # unlike Path.exists, no error where the name is too long
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.iterdir() if path.suffix in SUFFIXES))
    raise StudyError(f"{what}={profile:.99} is unknown; choose {known}, or give the path of a YAML file")


def text_of(path: Path) -> str:
    """Return the text of a file; StudyError when it cannot be read or is not in UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); give the path of a YAML file") from error
    # What is not UTF-8 decodes to surrogates; UTF-16 and UTF-32 may also leave nothing but zeros between the letters.
    if odd := re.search(r"[\0\ud800-\udfff]", text):
        line = text.count("\n", 0, odd.start()) + 1
        raise StudyError(f"{path}, line {line}: the text is not in UTF-8; save the file again in that encoding")
    return text


def settle(profile: str, options: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return every notebook's parameters: the profile's, under the command line's RUN, MODEL, JUDGE and ENGINE.

    ENGINE=replay also sets REPLAY, with which a training is shown as recorded. Raises StudyError as load_profile does.
    """
    settled = load_profile(profile)
    replayed = options.get("ENGINE") == "replay"
    given: dict[str, Any] = {"RUN": Path(profile).stem + ("-replay" if replayed else "")}
    given |= {key: value for key, value in options.items() if value} | ({"REPLAY": True} if replayed else {})
    for name, values in settled.items():
        wanted = {key: value for key, value in given.items() if key in values}
        check_types(name, wanted, values)
        values.update(wanted)
    return settled
