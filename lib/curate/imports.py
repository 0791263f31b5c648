"""Which names a function takes from outside, and the imports that supply them: its file's own, else inferred."""

import ast
import re
import symtable
import sys
import warnings
from functools import lru_cache

from lib.curate.extract import Function, Import, Unreadable, below, statements

# Well-known names of the standard library, one module per line; where two modules have a name, the table lists one.
# Names that are as often numpy's (sqrt, mean, choice) or a variable's (count, cache, digits) are left out: a wrong
# import is worse than none.
_KNOWN = """
abc: ABC ABCMeta abstractmethod
bisect: bisect bisect_left bisect_right insort insort_left insort_right
collections: ChainMap Counter OrderedDict UserDict UserList defaultdict deque namedtuple
contextlib: closing contextmanager suppress
copy: copy deepcopy
dataclasses: asdict astuple dataclass
datetime: date datetime timedelta timezone tzinfo
decimal: Decimal InvalidOperation ROUND_DOWN ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP
difflib: SequenceMatcher get_close_matches
enum: Enum Flag IntEnum IntFlag
fractions: Fraction
functools: cached_property cmp_to_key lru_cache partial reduce singledispatch total_ordering wraps
heapq: heapify heappop heappush heappushpop heapreplace nlargest nsmallest
io: BytesIO StringIO
itertools: accumulate chain combinations combinations_with_replacement cycle dropwhile filterfalse groupby islice
itertools: pairwise permutations product starmap takewhile zip_longest
math: comb factorial isqrt
numbers: Integral Number Rational Real
operator: attrgetter itemgetter methodcaller
pathlib: Path PurePath
string: ascii_letters ascii_lowercase ascii_uppercase hexdigits punctuation
textwrap: dedent
threading: Lock Thread
time: perf_counter sleep
types: MappingProxyType ModuleType SimpleNamespace
typing: Annotated Any AnyStr AsyncIterator Awaitable BinaryIO Callable ClassVar Collection Container Coroutine
typing: DefaultDict Deque Dict Final FrozenSet Generator Generic Hashable IO Iterable Iterator List Literal Mapping
typing: MutableMapping MutableSequence NamedTuple NoReturn Optional ParamSpec Pattern Protocol Reversible Sequence Set
typing: Sized SupportsFloat SupportsIndex SupportsInt Text TextIO Tuple Type TypeAlias TypeVar TypedDict Union
typing: cast overload
urllib.parse: parse_qs quote unquote urlencode urljoin urlparse
"""
_ALIASES = {
    "mpl": "matplotlib", "np": "numpy", "nx": "networkx", "pd": "pandas", "plt": "matplotlib.pyplot",
    "sns": "seaborn", "tf": "tensorflow",
}  # fmt: skip
KNOWN = {alias: Import(module, "", alias) for alias, module in _ALIASES.items()}
for _line in _KNOWN.strip().splitlines():
    _module, _names = _line.split(": ")
    KNOWN |= {name: Import(_module, name) for name in _names.split()}

# The standard library's, and those that the paper's seeds and programs have beside it (listing 1, section C.2).
_MODULES = frozenset(name for name in sys.stdlib_module_names if name[0] != "_") | {"numpy", "pandas", "torch"}
_DATETIME = re.compile(r"\bdatetime\.(?:date|datetime|time|timedelta|timezone|tzinfo|UTC)\b")


def import_header(function: Function) -> str:
    """The imports that the function needs, one line per module, sorted; empty when it needs none.

    The paper's import inference (appendix B; official high_quality_subset.py calls autoimport, off by default).
    """
    items = needed(function).values()
    lines = {f"import {item}" for item in items if not item.name}
    for module in {item.module for item in items if item.name}:
        names = sorted(str(item) for item in items if item.name and item.module == module)
        lines.add(f"from {module} import {', '.join(names)}")
    return "\n".join(sorted(lines))


@lru_cache(maxsize=1)  # several rules in a row ask for the same function
def with_imports(function: Function) -> str:
    """The function's code below the imports that it needs: the text of its seed, which the official rules read.

    Code whose imports cannot be inferred stays as it is, also in the official high_quality_subset.py.
    """
    try:
        return below(import_header(function), function.code)
    except Unreadable:
        return function.code


def needed(function: Function) -> dict[str, Import]:
    """The free names that an import supplies, and the import: one of the file if there is one, else an inferred one.

    Nothing is inferred for a name that the file defines, nor in a file with `import *`, which may supply any name.
    """
    free = free_names(function)
    found = {name: function.imports[name] for name in free & function.imports.keys()}
    if "*" not in function.imports:
        for name in free - found.keys() - function.defined:
            if item := infer(name, function.code):
                found[name] = item
    return found


def infer(name: str, code: str) -> Import | None:
    """The import that a name most likely stands for in code that does not define it; None when that is unclear.

    A module is meant only where an attribute of it is used (`copy.copy(x)`, but not `copy(x)`).
    """
    if name == "datetime":  # module and class share their name, and both have attributes
        return Import(name) if _DATETIME.search(code) else KNOWN[name]
    if name in _MODULES and re.search(rf"\b{name}\s*\.\s*\w", code):
        return Import(name)
    return KNOWN.get(name)


def free_names(function: Function) -> frozenset[str]:
    """Names other than its own that the function takes from its module or the builtins.

    Raises Unreadable for code that parses but does not compile ("syntax": a parameter given twice; or "nesting").
    """
    return _global_names(function.code) - {function.name}


def inner_imports(function: Function) -> dict[str, str]:
    """The names imported inside the function and the modules they come from (relative ones with their dots)."""
    found = {}
    for node in statements(function.node) if "import" in function.code else ():
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {alias.asname or alias.name: module for alias in node.names}
    return found


@lru_cache(maxsize=1)  # several rules in a row ask for the same function
def _global_names(code: str) -> frozenset[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            top = symtable.symtable(code, "seed", "exec")
    except SyntaxError as error:
        raise Unreadable("syntax") from error
    except (RecursionError, MemoryError) as error:
        raise Unreadable("nesting") from error
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    tables = top.get_children()
    for table in tables:
        names.update(symbol.get_name() for symbol in table.get_symbols() if symbol.is_global())
        tables += table.get_children()
    return frozenset(names)
