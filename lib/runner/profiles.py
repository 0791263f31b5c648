"""Profiles: a YAML file of parameters per notebook, every name and type checked."""

import re
from pathlib import Path
from typing import Any

import yaml

from lib.core.notebooks import check_types, parameter_defaults
from lib.core.paths import ROOT
from lib.core.records import StudyError
from lib.core.study import STAGES


class Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-5 is a number."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?(?:[eE][-+]?\d+)|\d[\d_]*\.[\d_]*|\.\d+(?:[eE][-+]?\d+)?|\.inf|\.nan)$"),
    list("-+0123456789."),
)


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Return {notebook: {parameter: value}} of a profile, every name and type checked.

    A profile is the name of a file in notebooks/params, or the path of a YAML file of one's own.
    Raises StudyError for an unknown profile, notebook or parameter, or a wrong type.
    """
    folder = ROOT / "notebooks" / "params"
    path = Path(profile) if profile.endswith(".yaml") else folder / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise StudyError(f"PROFILE={profile} is unknown; choose {known}, or give the path of a YAML file")
    try:
        sections = yaml.load(path.read_text(), Loader) or {}  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    names = [stage.name for stage in STAGES]
    for name, values in sections.items():
        if name not in names:
            raise StudyError(f"{path}: there is no notebook {name}; the study has {', '.join(names)}")
        check_types(name, values or {}, parameter_defaults(name))
    return {name: parameter_defaults(name) | (sections.get(name) or {}) for name in names}


def settle(profile: str, options: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return every notebook's parameters: the profile's, with the command line's RUN, MODEL and ENGINE over them.

    ENGINE=replay also sets REPLAY, with which a training is shown as recorded.
    """
    settled = load_profile(profile)
    replayed = options.get("ENGINE") == "replay"
    for values in settled.values():
        values["RUN"] = Path(profile).stem + ("-replay" if replayed else "")
        values.update({"REPLAY": replayed} if "REPLAY" in values else {})
        values.update({key: value for key, value in options.items() if value and key in values})
    return settled
