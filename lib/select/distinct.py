"""When two examples are too similar: the names that their code defines, and near-duplicate texts."""

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from lib.core.markdown import blocks, code_of
from lib.core.programs import parsed
from lib.core.records import Record
from lib.overlap import near_duplicates

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITION = (*FUNCTION, ast.ClassDef)


def first_block(response: str) -> ast.Module | None:
    """The syntax tree of a response's first python block, whose names count; None when there is none or no Python."""
    found = blocks(response)
    return parsed(found[0].code) if found else None


def name_sets(response: str) -> list[frozenset[str]] | None:
    """The set of function names and the set of class names in a response's first python block, except empty sets.

    Names are lower-case and without underscores; None when the block does not parse (official sanitize_data.py).
    """
    if (tree := first_block(response)) is None:
        return None
    functions, classes = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION):
            functions.add(node.name.lower().replace("_", ""))
        elif isinstance(node, ast.ClassDef):
            classes.add(node.name.lower().replace("_", ""))
    return [frozenset(found) for found in (functions, classes) if found]


def joined_names(response: str) -> list[str] | None:
    """The names of all functions in a response's first python block, as one string; None when it does not parse.

    The string is empty without a function, so that only one such response is kept (official clean_data.py).
    """
    tree = first_block(response)
    return None if tree is None else [" ".join(node.name for node in ast.walk(tree) if isinstance(node, FUNCTION))]


# How the names in a response are compared: no two kept ones share a key. The newer pipeline's form and the older one's.
FORMS: dict[str, Callable[[str], Sequence[Hashable] | None]] = {"sets": name_sets, "joined": joined_names}


def representation(response: str) -> str:
    """The top-level functions and classes of a response's code, reformatted, without comments and docstrings.

    Empty when there are none or the code does not parse.
    """
    tree = parsed(code_of(response)) or ast.Module([], [])
    tree.body = [node for node in tree.body if isinstance(node, DEFINITION)]
    for node in ast.walk(tree):
        if isinstance(node, DEFINITION) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


TEXTS: dict[str, Callable[[Record], str]] = {
    "instruction": lambda example: example["instruction"],
    "response": lambda example: example["response"],
    "code": lambda example: representation(example["response"]),
}


def drop_near_duplicates(
    examples: Iterable[Record], field: str, threshold: float, parents: Mapping[str, Record]
) -> tuple[list[Record], Counter[str]]:
    """The examples whose `field` ("instruction", "response", "code") is no near-duplicate of a kept one's, and
    how many were dropped.

    Examples are scanned and returned in the order of their ids. Near: the Jaccard similarity of the lower-case 5-word
    shingles is >= `threshold` (paper: 0.7); an empty text is no duplicate. `parents` has the examples' response records
    by id: instructions are compared between tasks, and all examples of a task are dropped with it. Raises StudyError
    for a threshold that is not above 0 and at most 1.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for example in sorted(examples, key=lambda example: example["id"]):
        groups[parents[example["parent"]]["parent"] if field == "instruction" else example["id"]].append(example)
    texts = {name: TEXTS[field](members[0]).lower() for name, members in groups.items()}
    dropped = near_duplicates.near_duplicates({name: text for name, text in texts.items() if text}, threshold)
    kept = [example for name, members in groups.items() if name not in dropped for example in members]
    count = sum(len(groups[name]) for name in dropped)
    return sorted(kept, key=lambda example: example["id"]), +Counter({f"nearly the same {field}": count})
