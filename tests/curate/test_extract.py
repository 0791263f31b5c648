"""Extraction: the exact source of every documented function, the names of its file, and bad input of every kind."""

import ast
import random
import re
import warnings
from contextlib import nullcontext, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.paths import cache_folder
from lib.corpora.packages import PackageShard, pinned
from lib.corpora.source import MAX_FILE_BYTES, SourceFile
from lib.curate import extract
from lib.curate.extract import Import, Unreadable


def source(data: str | bytes, path: str = "module.py", fault: str = "") -> SourceFile:
    raw = data.encode() if isinstance(data, str) else data
    return SourceFile("made-up", "1.0", "MIT", path, raw, fault)


def one(code: str | bytes) -> extract.Function:
    (function,) = extract.functions(source(code))
    return function


Seen = tuple[str, int, str, str, str]


def expected(text: str) -> list[Seen]:
    """The reference: name, line, code, docstring and syntax of each documented function, cut out line by line."""
    lines = [line.encode() for line in text.split("\n")]
    found = []
    for node in quietly(text).body:
        if isinstance(node, extract.FunctionNode) and (docstring := ast.get_docstring(node)):
            first, column = node.lineno, node.col_offset
            if node.decorator_list:
                first = node.decorator_list[0].lineno
                column = lines[first - 1].index(b"@")
            last = node.end_lineno or first
            piece = lines[first - 1 : last]
            piece[-1] = piece[-1][: node.end_col_offset]
            piece[0] = piece[0][column:]
            found.append((node.name, first, b"\n".join(piece).decode(), docstring, ast.dump(node)))
    return found


def extracted(file: SourceFile) -> list[Seen]:
    return [(f.name, f.line, f.code, f.docstring, ast.dump(f.node)) for f in extract.functions(file)]


def quietly(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def expected_imports(tree: ast.Module) -> dict[str, Import]:
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            top += [inner for inner in node.body if isinstance(inner, ast.Import | ast.ImportFrom)]
    found = {}
    for node in top:
        for alias in node.names:
            if isinstance(node, ast.Import):
                found[alias.asname or alias.name.split(".")[0]] = Import(alias.name, "", alias.asname or "")
            else:
                module = "." * node.level + (node.module or "")
                found[alias.asname or alias.name] = Import(module, alias.name, alias.asname or "")
    return found


def test_code_is_exact_and_keeps_decorators() -> None:
    code = "@cache\n@other(1,  2)\ndef f(x,   y = 1):  # odd   spacing\n\t'Single quoted, once.'\n\treturn x  +  \"ü\""
    function = one(f"import re\n\n{code}  # trailing comment\nz = 3\n")
    assert function.code == code
    assert (function.name, function.docstring, function.line) == ("f", "Single quoted, once.", 3)
    assert function.imports == {"re": Import("re")}


def test_functions_of_the_top_level_with_docstrings_only() -> None:
    text = '''
def plain(x):
    return x

class C:
    def method(self):
        """A method."""

def outer(x):
    r"""Raw docstring."""
    def inner():
        """Nested."""
    return inner

def comment_first(x):
    # a comment before it
    """Still the first statement."""

def late(x):
    x += 1
    """Not a docstring."""

def formatted(x):
    f"""Not a docstring either, {x}."""

def empty(x):
    """ """

async def waits(x):
    """A coroutine."""
'''
    assert [f.name for f in extract.functions(source(text))] == ["outer", "comment_first", "waits"]


PIECES = [
    "import os, json as j; from re import sub\nfrom a.b import (\n    c,\n    d as e,\n)\n",
    "if TYPE_CHECKING:\n    from x import y\nelse:\n    y = None\n",
    "if typing.TYPE_CHECKING: import q\n",
    "x = 1; import late\n",
    "from . import (\na,\nb)\n",
    "TEXT = '''\ndef f(x):\n    \"\"\"In a string.\"\"\"\n'''\n",
    'TEXT = """\n@cache\ndef f(x):\n    \'In a string.\'\n"""\n',
    "TEXT = 'a\\\ndef f(x): \"In a string.\"'\n",
    'TEXT = "it\'s" \' """ \'  # don\'t\n',
    '# it\'s a """ comment\n',
    "TABLE = [\n1, (\n2),\n# 3\n]\n",
    "PRODUCT = (a\n@ b\n)\n",
    "LONG = 1 + \\\n2\n",
    "class C:\n    def m(self):\n        '''Doc.'''\n        return 1\n",
    "@final\nclass D: pass\n",
    "if True:\n    def f(x):\n        'Doc.'\nelse:\n    def f(x): 'Doc.'\n",
    "default = define = async_ = 3\n",
    "\f\n",
    "\n\n\n",
    "x = 5;\n",
    "print(f'{x!r:>{3}} {{' f\"{d['def ']}\")\n",
]
DECORATORS = [
    "",
    "@cache\n",
    "@a.b(1, '#')  # why\n\n# and\n@c\n",
    "@f(\n    x,\n    [')'],\n)\n",
    "@f(\nx,\n@y\n)\n",
    "@(lambda g: g)\n",
]
HEADS = [
    "def f(x):",
    "def  größe (x = ')', *, y: 'dict[str, int]' = {1: [2, (3,)]}) -> 'a:b':",
    "async def f(\n    x,  # don't\n    y=lambda a: {'def ': \"#\"},\n) -> dict[str, int]:",
    "def f(\nx\n):  # trailing",
    "def f(x) -> (lambda: 1):",
    "def f(x) -> lambda: 1:",
    "def f(x=((((((((1)))))))), y=[]):",
    "def f(x) \\\n    -> int:",
    "def f(x): # 'not yet'\n    # \"nor here\"\n",
    "def ﬁ(ﬁ):",
    "def\tf(x):",
    "def \\\nf(x):",
    "async  def f(x):",
]
DOCSTRINGS = [
    '"""Doc."""',
    "'''Doc's\n    second \"line\".\n    '''",
    "'Doc.'",
    '"Doc \\"quoted\\"."',
    'r"""Raw \\d."""',
    'R"Raw."',
    "u'Unicode ü \\u00fc.'",
    '"""\n\n    def f(x):\ndef g(x):\n    # no\n    """',
    '"""Ends in a backslash \\\\"""',
    '"Joined " "docstring."',
    "('In brackets.')",
    '("In" # two\n    " lines.")',
    "'Continued' \\\n    ' here.'",
    "'Escape \\d and \\\nline.'",
    '"""\\n"""',
    '""" """',
    "''",
    "b'Bytes.'",
    "f'Formatted {x}.'",
    "'Formed %s' % x",
    "'A', 'tuple'",
    "'Doc.'.strip()",
    "('a', 'b')",
    "(x, y) = 'a', 'b'",
    "x = 'Doc.'",
    "...",
]
BODIES = [
    "",
    "return x",
    "return x  # 'trailing",
    'return \'#\'  # """',
    "return '''a\n# b\n'''",
    "return x;",
    "return x ; # done",
    "if x:\n        return 1\n# column 0\n    else:\n        return 2\n\n    # after\n# all",
    "y = (x,\n1)\n    return y",
    "y = x \\\n+ 1\n    return y",
    "return [\n    x\n]",
    "\n\n    return {\n}\n    # last",
    "return f'{x:{x}}' f\"{d['#']}\"",
    "class C:\n        def m(self): 'Doc.'",
    "def g(x):\n        'Nested.'\n    return g",
    "pass\n\f",
    "print('ü€𝄞')",
]


@st.composite
def function_text(draw: st.DrawFn) -> str:
    decorators, head, docstring = (draw(st.sampled_from(choice)) for choice in (DECORATORS, HEADS, DOCSTRINGS))
    body = draw(st.sampled_from(BODIES))
    if draw(st.booleans()) and "\n" not in body + head:
        return f"{decorators}{head} {docstring}; {body}\n"
    after = draw(st.sampled_from(["", "  # then", ";", " \\\n"]))
    text = f"{head}\n    {docstring}{after}\n    {body}\n"
    return decorators + (text.replace("    ", "\t") if draw(st.booleans()) else text)


modules = st.lists(st.one_of(function_text(), st.sampled_from(PIECES)), max_size=7).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=modules, end=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans())
def test_every_documented_function_is_found_with_its_exact_source(text: str, end: str, last: bool) -> None:
    text = text if last else text.removesuffix("\n")
    file = source(text.replace("\n", end))
    try:
        tree = quietly(text)
    except SyntaxError:
        with pytest.raises(Unreadable) if re.search(r"^(def|async)\b", text, re.MULTILINE) else nullcontext():
            assert list(extract.functions(file)) == []
        return
    assert extracted(file) == expected(text)
    for function in extract.functions(file):
        assert function.imports == expected_imports(tree)
        assert ast.dump(quietly(function.code).body[0]) == ast.dump(function.node)


def test_functions_of_the_pinned_corpus_have_their_exact_source() -> None:
    folder = cache_folder() / "corpora"
    shards = [PackageShard(package, folder / package.file) for package in pinned()]
    here = [shard for shard in shards if shard.wheel.exists()]
    if not here:
        pytest.skip("no wheel of the pinned corpus in the cache")
    for file in random.Random(3).choice(here).read():
        with suppress(Unreadable):
            for function in extract.functions(file):
                assert ast.dump(quietly(function.code).body[0]) == ast.dump(function.node), file.path


@pytest.mark.parametrize(
    "head", ["def f(x):", "\fdef f(x):", "x = 1\n \f\fdef f(x):", "\\\ndef f(x):", "async \\\n def f(x):"]
)
def test_every_place_of_a_definition_is_seen(head: str) -> None:
    assert one(f"{head}\n    'Doc.'\n").docstring == "Doc."


def test_a_file_without_functions_is_not_parsed() -> None:
    assert list(extract.functions(source("print 'Python 2'\n"))) == []


def test_the_names_that_a_file_assigns() -> None:
    text = """
a = b = 1
(c, [d, *e]), f.x = 1, 2
g: int = 3
h[i] = 3
k += 1
del k
for l, m in n: o = 1
try:
    if True:
        def p(): q = 1
    else:
        class R: s = 1
except T as u:
    v = [w for w in x]
async def y(z): 'Doc.'
"""
    assert one(text).defined == {*"abcdegklmopvy", "R"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_read_as_python_reads_them(end: str) -> None:
    function = one(end.join(["x = 1", "def f(x):", '\t"""Doc."""', "\treturn x", ""]))
    assert function.code == 'def f(x):\n\t"""Doc."""\n\treturn x'
    assert function.line == 2


def test_a_declared_encoding_is_respected() -> None:
    text = "# -*- coding: latin-1 -*-\ndef f(x):\n    'Größe'\n    return x\n"
    assert one(text.encode("latin-1")).docstring == "Größe"
    assert one(b"\xef\xbb\xbf" + text.split("\n", 1)[1].encode()).docstring == "Größe"


DOCUMENTED = "def f(x):\n    'Doc.'\n    return "


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def f():\n    '''Doc.'''\n    return '\0'\n", "null bytes"),
        (b"x = '\xff\xfe'\n", "encoding"),
        (b"# coding: no-such-codec\n", "encoding"),
        (b"x = 1\n" * 200_000, "too large"),
        (b"x = [" + b"1, " * 3_500_000 + b"]", "too large"),
        (f"{DOCUMENTED}1\nx = '\n".encode(), "syntax"),
        (f"{DOCUMENTED}1\ny = '''\n".encode(), "syntax"),
        (f"@f(\n{DOCUMENTED}1\n".encode(), "syntax"),
        (b"def f(x, (y, z)):\n    'Python 2' 'doc.'\n    print x\n", "syntax"),
        (b"def f(x):\n    'a' 'b'\n    return " + b"-" * 200_000 + b"1\n", "nesting"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as raised:
        list(extract.functions(source(data)))
    assert str(raised.value) == reason


def test_a_file_with_a_fault_is_not_read() -> None:
    with pytest.raises(Unreadable, match="licence"):
        list(extract.functions(source("x = 1", fault="licence")))


def test_a_malformed_escape_in_a_docstring_is_a_syntax_error() -> None:
    with pytest.raises(Unreadable, match="syntax"):
        one("def f(x):\n    'Doc \\N{no such name}'\n    return x\n")


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "()",
        '"',
        "'''",
        "\\\n",
        "@a\n",
        "def f():\n 'd'\n",
        "\n\f x",
        "- ",
        "a.b.",
        "not ",
        "lambda:",
        "f'{",
        "{a:",
    ],
)
def test_monotonous_input_of_the_largest_size_neither_hangs_nor_crashes(unit: str) -> None:
    many = unit * (MAX_FILE_BYTES // 2 // len(unit))
    for data in (many, f"{DOCUMENTED}{many}\n"):
        with suppress(Unreadable):
            list(extract.functions(source(data)))


def test_a_seed_carries_its_header_and_its_provenance() -> None:
    function = one(f"import math\n\n{DOCUMENTED}math.sqrt(x)\n")
    seed = extract.seed(function, "import math")
    assert seed["code"] == f"import math\n\n\n{function.code}"
    assert seed["source"] == {"package": "made-up", "version": "1.0", "licence": "MIT", "path": "module.py", "line": 3}
    assert extract.seed(function)["code"] == function.code
