"""Classes as text, as ClassEval's scripts read and assemble them: a class, one method of it, its signatures, its tests.

Where a script's rule would spoil a right answer, the comment says what is done instead.
"""

import ast
import re
from textwrap import dedent

from lib.core.programs import parsed

# Published outputs repeat the prompt; the answer stands behind the first of these (generation/inference_util.py).
MARKERS = ("### Response:", "@@ Response:", "[/INST]")
FENCED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (r"```(?:python|Python|py)\b(.*?)```", r"```\w*\n(.*?)```", r"\[PYTHON\](.*?)\[/PYTHON\]")
)
OPEN = "```python"
INDENT = 4  # of a method
STATIC = "@staticmethod"
DOCSTRING = '"""'


def answer_in(text: str) -> str:
    """Return what follows the prompt in a text that repeats it, up to a second marker; else the text."""
    marker = next((one for one in MARKERS if one in text), None)
    return text.split(marker)[1] if marker else text


def fenced_in(text: str) -> str | None:
    """Return the first fenced block of Python, else the first of all; None when there is no closed one."""
    return next((found[1] for pattern in FENCED if (found := pattern.search(text))), None)


def class_in(text: str, strict: bool = False) -> str:
    """Return the class that an answer holds, with its imports.

    The first fenced block; without one, all from the first line that begins a class, with the imports above it, moved
    to the left where the class is indented. An answer that is Python as a whole is kept as it is: the script would
    drop constants and functions above the class. A block of Python that does not end is nothing to the script, and
    with `strict`; else what there is of it is graded.
    """
    answer = answer_in(text.rstrip())
    if (block := fenced_in(answer)) is not None:
        return block
    if strict and OPEN in answer:
        return ""
    if parsed(answer) is not None:
        return answer
    lines = answer.split("\n")
    start = next((place for place, line in enumerate(lines) if line.lstrip().startswith("class")), len(lines))
    above = [line for line in lines[:start] if line.lstrip().startswith(("import", "from"))]
    return "\n".join([*above, *moved(lines[start:], 0)])


def method_in(text: str, name: str) -> str:
    """Return the method of this name in an answer, indented as in a class; empty when there is none.

    Without `self` or `cls` in its `def` line it is static. Where the answer is Python, the method is what Python takes
    for it, with its decorators: the script's own rule (`method_by_lines`), which is for other answers here, ends it at
    a text in quotes that is indented less, and drops `@classmethod`.
    """
    answer = answer_in(text)
    block = fenced_in(answer)
    code = answer if block is None else block
    method = method_by_syntax(code, name) or method_by_lines(code, name)
    if method and not bound(signature(method)) and STATIC not in method[0]:
        method.insert(0, " " * INDENT + STATIC)
    return "\n".join(method).rstrip() + "\n" if method else ""


def method_by_syntax(code: str, name: str) -> list[str]:
    """Return the lines of the first function of this name, from its decorators on; none when the code is no Python."""
    for text in (code, dedent(code)):
        for node in ast.walk(parsed(text) or ast.Module([], [])):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                start = min(part.lineno for part in (node, *node.decorator_list))
                return moved(text.split("\n")[start - 1 : node.end_lineno], INDENT)
    return []


def method_by_lines(code: str, name: str) -> list[str]:
    """Return the lines from the one with the `def` to the next that is not indented further.

    A docstring that does not end is closed.
    """
    lines = ["" if line in ("```", "\r") else line for line in code.split("\n")]
    start = next((place for place, line in enumerate(lines) if f"def {name}(" in line), None)
    if start is None:
        return []
    first, *rest = lines[start:]
    if rest and indent(rest[0]) - indent(first) > INDENT:  # the answer continues a line of the prompt
        first = " " * INDENT + first
    end = next((place for place, line in enumerate(rest) if line and indent(line) <= indent(first)), len(rest))
    method = moved([first, *rest[:end]], INDENT)
    if sum(line in (f"{' ' * INDENT}{DOCSTRING}", f"{' ' * 2 * INDENT}{DOCSTRING}") for line in method) % 2:
        method += [" " * 2 * INDENT + DOCSTRING, " " * 2 * INDENT + "pass"]
    return method


def with_static_methods(code: str) -> str:
    """Return a program in which exactly the methods whose `def` line has neither `self` nor `cls` are static.

    A `def` that goes on in the next line is looked at up to its colon: the script sees its first line only.
    """
    lines = [line for line in code.split("\n") if STATIC not in line]
    made = list[str]()
    for place, line in enumerate(lines):
        if line.lstrip().startswith("def ") and indent(line) == INDENT and not bound(signature(lines[place:])):
            made.append(" " * INDENT + STATIC)
        made.append(line)
    return "\n".join(made)


def signature(lines: list[str]) -> str:
    """Return the first of these lines up to the one that ends with the colon of a `def`, as one text."""
    start = next((place for place, line in enumerate(lines) if "def " in line), 0)
    end = next((place for place, line in enumerate(lines[start:], start) if line.rstrip().endswith(":")), start)
    return "\n".join(lines[: end + 1])


def bound(line: str) -> bool:
    """Whether a method's signature names its object or class; by the letters, as the script looks for them."""
    return "self" in line or "cls" in line


def indent(line: str) -> int:
    """Return how many characters of white space a line begins with."""
    return len(line) - len(line.lstrip())


def moved(lines: list[str], to: int) -> list[str]:
    """Return lines moved sideways so that the first one has this indentation; none goes beyond the margin."""
    shift = to - indent(lines[0]) if lines else 0
    if not shift:
        return lines
    return [" " * max(0, indent(line) + shift) + line.lstrip() if line.strip() else "" for line in lines]


def described(constructor: str, description: str) -> str:
    """Return a constructor's class with its description as the docstring, below the line of the class."""
    first, _, rest = constructor.partition("\n")
    return f"{first} \n{description}\n{rest}"


def by_test_class(source: str) -> dict[str, str]:
    """Return a module of unittest's cases as one module for each case that has tests, by the case's name.

    Each has everything else at the module's top level, but for what runs only where the module is started.
    """
    lines, nodes = source.split("\n"), ast.parse(source).body
    cases = [node for node in nodes if isinstance(node, ast.ClassDef) and tested(node)]
    started = [node for node in nodes if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    found = dict[str, str]()
    for case in cases:
        kept = [node for node in nodes if node is case or node not in cases and node not in started]
        found[case.name] = "\n".join("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in kept) + "\n"
    return found


def tested(case: ast.ClassDef) -> bool:
    """Whether a case has a test."""
    return any(isinstance(node, ast.FunctionDef) and node.name.startswith("test") for node in case.body)
