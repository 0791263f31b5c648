"""The house keeps its order: a folder imports from layers below its own, a neighbour one way; no circle, no dodge."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core.code import imports
from lib.core.paths import ROOT

# From the ground up (CONTRIBUTING.md says what each holds).
LAYERS = (
    {"core"},
    {"corpora", "overlap", "generate", "sandbox"},
    {"curate", "synthesize", "select", "train"},
    {"publish", "evaluate"},
    {"experiment"},
    {"lineage"},
    {"runner"},
)
LEVEL = {folder: level for level, layer in enumerate(LAYERS) for folder in layer}
MODULES = sorted(path for path in (ROOT / "lib").rglob("*.py") if path != ROOT / "lib" / "__init__.py")


def folder_of(path: Path) -> str:
    return path.relative_to(ROOT / "lib").parts[0]


def module_at(name: str) -> Path | None:
    place = ROOT / name.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def targets(path: Path) -> Iterator[Path]:
    """The modules of lib that one imports; `from package import module` is an import of the module alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lib":
            inner = [module_at(f"{node.module}.{alias.name}") for alias in node.names]
            yield from filter(None, [*inner, module_at(str(node.module)) if None in inner else None])


GRAPH = {path: set(targets(path)) - {path} for path in MODULES}


def test_every_folder_has_its_layer_and_no_arrow_points_upward():
    assert {folder_of(path) for path in MODULES} <= LEVEL.keys()
    upward = [
        f"{path.relative_to(ROOT)} -> {target.relative_to(ROOT)}"
        for path, found in GRAPH.items()
        for target in found
        if target != ROOT / "lib" / "__init__.py" and LEVEL[folder_of(target)] > LEVEL[folder_of(path)]
    ]
    assert upward == []


def test_neighbours_import_one_way():
    pairs = {(folder_of(path), folder_of(target)) for path, found in GRAPH.items() for target in found}
    both = {pair for pair in pairs if pair[0] != pair[1] and pair[::-1] in pairs}
    assert both == set()


def test_no_modules_import_each_other_in_a_circle():
    done: set[Path] = set()

    def visit(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, " -> ".join(str(each.relative_to(ROOT)) for each in (*above, path))
        if path not in done:
            for target in GRAPH.get(path, ()):
                visit(target, (*above, path))
            done.add(path)

    for path in MODULES:
        visit(path, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_the_study_is_imported_late(path):
    """Only heavy packages of others are, which a replay does without."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [name for function in functions for name in imports(function)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_in_its_first_line_what_it_holds(path):
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said and said.splitlines()[0].rstrip().endswith((".", ":", ","))
