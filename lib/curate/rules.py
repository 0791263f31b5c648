"""The quality filters: small rules on one function, each with its source."""

import ast
import re
from collections.abc import Callable

from lib.core.records import StudyError
from lib.curate.extract import Function, FunctionNode, statements
from lib.curate.imports import KNOWN, inner_imports, needed, with_imports
from lib.curate.self_contained import is_self_contained

Rule = Callable[[Function], bool]

# Official filter_dataset.py; the paper's appendix B names the same kinds of rule.
BAD_WORDS = ("todo", "fixme", "bug")
BAD_IMPORTS = ("argparse", "os", "subprocess", "sys", "setuptools", "distutils", "matplotlib", "seaborn")
OFFICIAL_MAX_LINES = 150

_BAD_WORD = re.compile(rf"\b({'|'.join(BAD_WORDS)})s?\b", re.IGNORECASE)
_WORDS = re.compile(r"\w+")
_BAD_NAMES = {*BAD_IMPORTS, *(name for name, item in KNOWN.items() if item.module.split(".")[0] in BAD_IMPORTS)}
_BAD_IMPORT_TEXTS = tuple(f"{keyword} {module}" for module in BAD_IMPORTS for keyword in ("import", "from"))
_END_OF_PROSE = re.compile(r"^[^\S\n]*(?:>>>|:\w+|@\w+|\w+:[^\S\n]*$|-{3,})", re.MULTILINE)


def rule_set(style: str, min_body: int, max_lines: int, max_chars: int, min_words: int) -> dict[str, Rule]:
    """The filters by the names that the funnel shows, in the order in which they are best run.

    "study" is the study's own set: the rules that look at the text alone come first, because they are the quickest.
    "official" is what the official filter_dataset.py does, with its substrings and its order, without the four bounds,
    on the text that it gets from high_quality_subset.py: the function below the imports inferred for it.
    A name in both sets is one rule of the paper, read in two ways. Raises StudyError for another style.
    """
    if style == "official":
        return {
            "no todo, fixme or bug": has_no_bad_word_official,
            "no unwanted import": has_no_bad_import_official,
            "has the size": has_size_official,
            "takes an argument": takes_arguments_official,
            "returns a value": returns_value_official,
            "docstring in triple quotes": is_triple_quoted_official,
        }
    if style != "study":
        raise StudyError(f'no style of rules "{style}"; choose "study" or "official"')
    return {
        "has the size": has_size(max_lines, max_chars),
        "no todo, fixme or bug": has_no_bad_word,
        "no test": is_no_test,
        "docstring says enough": is_described(min_words),
        "returns a value": returns_value,
        "takes an argument": takes_arguments,
        "has a body": has_body(min_body),
        "returns data": returns_data,
        "no unwanted import": has_no_bad_import,
        "self-contained": is_self_contained,
    }


def has_size(max_lines: int, max_chars: int | None = None) -> Rule:
    """A rule on size: at most `max_lines` lines (paper: 150) and `max_chars` characters (our own)."""

    def size(function: Function) -> bool:
        return function.code.count("\n") < max_lines and (max_chars is None or len(function.code) <= max_chars)

    return size


def has_size_official(function: Function) -> bool:
    """At most 150 lines, those of the imports included."""
    return with_imports(function).count("\n") < OFFICIAL_MAX_LINES


def has_body(min_body: int) -> Rule:
    """A rule on the body: at least `min_body` lines after the docstring (our own: one line is mostly a wrapper)."""

    def body(function: Function) -> bool:
        code = function.node.body[1:]
        return min_body <= ((code[-1].end_lineno or 0) - code[0].lineno + 1 if code else 0)

    return body


def has_no_bad_word(function: Function) -> bool:
    """None of the paper's words for unfinished code, as whole words or their plurals ("debug" is allowed)."""
    return not _holds(BAD_WORDS, function.code) or not _BAD_WORD.search(function.code)  # the first is quick


def has_no_bad_word_official(function: Function) -> bool:
    """None of the same words anywhere in code and imports, as substrings ("debug" is not allowed)."""
    return not _holds(BAD_WORDS, with_imports(function))


def has_no_bad_import(function: Function) -> bool:
    """No module of the paper's list among the imports that the function needs or makes itself (whole names)."""
    aliases = {name for name, item in function.imports.items() if _is_bad(item.module)}
    if (aliases | _BAD_NAMES).isdisjoint(_WORDS.findall(function.code)):
        return True  # saves the look at the scopes, which takes longer than all other rules
    modules = [*(item.module for item in needed(function).values()), *inner_imports(function).values()]
    return not any(map(_is_bad, modules))


def has_no_bad_import_official(function: Function) -> bool:
    """No such import anywhere in code and imports, as a substring: drops `import osmnx` and "from system", too."""
    return not _holds(_BAD_IMPORT_TEXTS, with_imports(function))


def returns_value(function: Function) -> bool:
    """Some `return` of the function itself carries a value (paper, appendix B; nested functions do not count)."""
    return "return" in function.code and any(not _is_none(value) for value in _returned(function))


def returns_value_official(function: Function) -> bool:
    """Some `return`, also of a nested function, is followed by an expression, even None."""
    found = statements(function.node) if "return" in function.code else ()
    return any(isinstance(node, ast.Return) and node.value is not None for node in found)


def takes_arguments(function: Function) -> bool:
    """At least one parameter (paper, appendix B)."""
    a = function.node.args
    return bool(a.posonlyargs or a.args or a.vararg or a.kwonlyargs or a.kwarg)


def takes_arguments_official(function: Function) -> bool:
    """No line that begins with `def ` has `():`, which `() -> int:`, `async def` and `( ):` evade."""
    return not any(line.startswith("def ") and "():" in line for line in function.code.split("\n"))


def is_described(min_words: int) -> Rule:
    """A rule on the docstring's prose: at least `min_words` words before any example or field list (our own)."""

    def described(function: Function) -> bool:
        prose = _END_OF_PROSE.split(function.docstring, maxsplit=1)[0]
        return len(re.findall(r"[A-Za-z]{2,}", prose)) >= min_words

    return described


def is_triple_quoted_official(function: Function) -> bool:
    '''The docstring begins or ends with """: the official code means both, but either suffices (r""" passes).'''
    first, lines = function.node.body[0], function.code.split("\n")
    opening = lines[first.lineno - function.line].encode()[first.col_offset :]  # offsets count bytes of UTF-8
    closing = lines[(first.end_lineno or first.lineno) - function.line].encode()[: first.end_col_offset]
    return opening.startswith(b'"""') or closing.endswith(b'"""')


def is_no_test(function: Function) -> bool:
    """No test by its name (our own: a test makes sense only beside what it tests)."""
    return not function.name.lstrip("_").startswith("test")


def returns_data(function: Function) -> bool:
    """Returns no function that it defines: closures and decorators are hard to state as a task (our own)."""
    inner = {node.name for node in statements(function.node) if isinstance(node, FunctionNode)} - {function.name}
    values = _returned(function)
    return not any(isinstance(v, ast.Lambda) or (isinstance(v, ast.Name) and v.id in inner) for v in values)


def _holds(parts: tuple[str, ...], text: str) -> bool:
    lower = text.lower()
    return any(part in lower for part in parts)


def _is_bad(module: str) -> bool:
    return module.split(".")[0] in BAD_IMPORTS


def _returned(function: Function) -> list[ast.expr | None]:
    return [node.value for node in statements(function.node, own=True) if isinstance(node, ast.Return)]


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)
