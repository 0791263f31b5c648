"""Fenced blocks: where they end, when their code has fences in strings, and how they become one program."""

import pytest

from lib.core.markdown import blocks, code_of, fenced

FORMATTER = '''def fence(code, language="python"):
    """Return the code as Markdown:

```python
x = 1
```
"""
    return f"""
```{language}
{code}
```
""" + "```"'''
BROKEN = "def f(x):\n    return x +"


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "~~~~~"])
def test_a_fence_in_a_string_does_not_end_the_block(fence: str) -> None:
    text = f"Like this:\n{fenced(FORMATTER, fence)}\nAnd used:\n```python  \nprint(fence('x'))\n```\nDone."
    assert code_of(text) == f"{FORMATTER}\n\nprint(fence('x'))"
    first, second = blocks(text)
    assert text[: first.start] == "Like this:\n" and text[first.end : second.start] == "\nAnd used:\n"
    assert text[second.end :] == "\nDone."
    assert (first.fence, second.fence) == (fence, "```")


@pytest.mark.parametrize("string", ["'''{}'''", '"""{}"""', 'r"""{}"""', 'f"""{}{{1}}"""', "b'''{}'''"])
@pytest.mark.parametrize("line", ["```", "```python", "```text", "````", "~~~", "~~~python"])
def test_any_line_in_any_string(string: str, line: str) -> None:
    inside = f"a\n{line}\nb"
    code = f"s = {string.format(inside)}\nt = 2"
    for fence in ("```", "~~~"):
        assert code_of(fenced(code, fence)) == code


def test_a_longer_fence_holds_a_shorter_one() -> None:
    assert code_of("````python\n$ not Python\n```\nmore\n````") == "$ not Python\n```\nmore"
    assert code_of("````python\nx = 1\n```") == ""  # never closed
    assert code_of("````python\nx = 1\n```python\ny = 2\n```") == "y = 2"


def test_code_that_parses_nowhere_ends_at_the_first_fence() -> None:
    """One broken block takes nothing from the next."""
    text = f"{fenced(BROKEN)}\nor\n{fenced('y = 2')}"
    assert [block.code for block in blocks(text)] == [f"{BROKEN}\n", "y = 2\n"]
    assert code_of(fenced(BROKEN)) == BROKEN


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no code", ""),
        ("```python\nx = 1", ""),
        ("```python\n```", ""),
        ("```python\nx = 1\n```python\ny = 2\n```", "x = 1"),
        ("```python\nx = 1\n````", "x = 1"),
        ("```\nx = 1\n```", ""),
        ("```text\nhello\n```\n\n```python\nx = 1\n```", "x = 1"),
        ("  ```python\nx = 1\n  ```", ""),
        ("```python\n\nx = 1\n\n\n```\n```python\ny = 2\n```", "x = 1\n\ny = 2"),
    ],
)
def test_blocks_begin_and_end_as_they_always_did(text: str, code: str) -> None:
    assert code_of(text) == code


def test_blocks_of_any_tag() -> None:
    text = f"```\nx = 1\n```\n{fenced(FORMATTER)}\n```py\ny = 2\n```"
    assert [block.code for block in blocks(text, r"[^\n]*")] == ["x = 1\n", f"{FORMATTER}\n", "y = 2\n"]


def test_a_later_block_may_begin_with_a_future_import() -> None:
    first = '"""The first."""\nimport re\n'
    second = "from __future__ import annotations\n\ndef f(x: Later) -> int:\n    return 1"
    code = code_of(f"{fenced(first)}\nand\n{fenced(second)}")
    scope: dict = {}
    exec(compile(code, "joined", "exec", dont_inherit=True), scope)
    assert scope["f"].__annotations__["x"] == "Later" and scope["re"]
    assert code_of(f"{fenced(second)}\n{fenced(first)}") == f"{second}\n\n{first.strip()}"  # compiles as it is
