"""The site that `make site` builds: the executed notebooks of a recorded run, pages beside them, the API of lib."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from lib.core.paths import ROOT, run_folder
from lib.core.records import write_text
from lib.core.stages import STAGES

HERE = Path(__file__).parent
RUN = os.environ.get("STUDY_SITE_RUN", "")
REFERENCE = ROOT / "data" / "reference"
# Notebooks that only read records have a folder of their own: they read the other one.
EXECUTED = (run_folder(RUN) if RUN else REFERENCE / "laptop", REFERENCE / "read")
FOLDERS = ("core", "corpora", "overlap", "generate", "sandbox", "curate", "synthesize", "select", "train")
FOLDERS += ("publish", "evaluate", "experiment", "lineage", "runner")

project = "SelfCodeAlign, a study you can re-execute"
author = "the authors of the study"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "SelfCodeAlign: the study"
html_extra_path = ["../site/extra"]  # the lineage page
html_show_copyright = False
nb_execution_mode = "off"  # what is shown is what a run recorded
nb_render_markdown_format = "gfm"  # cells print tables
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "set"}  # which matplotlib gives every kind of figure
autodoc_mock_imports = ["torch", "transformers", "peft", "accelerate", "vllm", "ray", "datasets", "gguf", "xllamacpp"]
default_role = "code"
suppress_warnings = ["docutils", "myst.xref_missing", "myst.header", "mystnb.unknown_mime_type"]


def copy_notebooks() -> None:
    """Take over the executed notebooks (one that was not recorded is left out) and the solutions of exercises."""
    folder = HERE / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for stage in STAGES:
        places = [path / stage.name / f"{stage.name}.ipynb" for path in EXECUTED]
        if found := [path for path in places if path.is_file()]:
            write_text(folder / found[0].name, described(found[0]))
    shutil.rmtree(HERE / "solutions", ignore_errors=True)
    (HERE / "solutions").mkdir()
    for path in sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb")):
        write_text(HERE / "solutions" / path.name, folded(path))


def described(notebook: Path) -> str:
    """Return an executed notebook whose cells hand their figures' alternative text to myst-nb."""
    made = json.loads(notebook.read_text())
    for cell in made["cells"]:
        figures = [output.get("metadata", {}).get("image/png", {}) for output in cell.get("outputs", ())]
        if texts := [figure["alt"] for figure in figures if "alt" in figure]:
            cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": " / ".join(texts)}
    return json.dumps(made)


def folded(notebook: Path) -> str:
    """Return a notebook whose code is folded, so that a reader of a solution's question can still think."""
    made = json.loads(notebook.read_text())
    for cell in (cell for cell in made["cells"] if cell["cell_type"] == "code"):
        cell["metadata"]["tags"] = ["hide-input"]
    return json.dumps(made)


def write_api() -> None:
    """Write a page for each folder of lib with its modules, in the order in which they are layered."""
    folder = HERE / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in FOLDERS:
        paths = sorted((ROOT / "lib" / name).rglob("*.py"))
        modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
        shown = [module for module in modules if not module.endswith("__main__")]
        body = "\n\n".join(f".. automodule:: {module}\n   :members:\n   :noindex:" for module in shown)
        (folder / f"{name}.rst").write_text(f"lib.{name}\n{'=' * (len(name) + 4)}\n\n{body}\n")
    listed = "\n".join(f"   {name}" for name in FOLDERS)
    head = "The library, folder by folder\n============================="
    said = "In the order of the layers: a folder imports only from those before it, and from a neighbour one way."
    (folder / "index.rst").write_text(f"{head}\n\n{said}\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n")


def plain(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Keep what is markup in reStructuredText as it is: docstrings are plain text with names in single backticks."""
    parts = re.split(r"((?<!`)`[^`\n]+`(?!`))", "\n".join(lines))
    parts[::2] = [re.sub(r"([*|`\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app: Any) -> None:
    """Hand `plain` to Sphinx."""
    app.connect("autodoc-process-docstring", plain)


copy_notebooks()
write_api()
