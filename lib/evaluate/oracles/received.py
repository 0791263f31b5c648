"""Reads a value that an untrusted process sends as a pickle: of the libraries of data science, without code of its own.

A pickle is a program that makes objects. This reader lets it make only objects of known classes, call nothing but these
classes and a few functions that libraries' own pickles call, and change nothing but what it has made: no attribute of
a class, no method of an object. Runs inside the box only. Standard library only.
"""

import io
import pickle
import sys
import types
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

# Whose classes a value may have, and whose functions it may hold (but not call).
_PACKAGES = """
datetime decimal fractions uuid zoneinfo dateutil pytz numpy pandas scipy sklearn matplotlib mpl_toolkits seaborn PIL
torch tensorflow keras xgboost gensim statsmodels kiwisolver cycler
"""
PACKAGES = frozenset(_PACKAGES.split())
_BUILTINS = """
set frozenset complex bytearray list dict tuple int float str bytes bool range slice object zip enumerate reversed
"""
CLASSES = {
    "builtins": frozenset(_BUILTINS.split()),
    "collections": frozenset(("OrderedDict", "Counter", "defaultdict", "deque")),
    "functools": frozenset(("partial",)),
    "itertools": frozenset(("chain", "count", "product", "repeat")),
    "pathlib": frozenset(("PosixPath",)),
    "types": frozenset(("SimpleNamespace",)),  # whose attributes no instruction of a pickle can call: see `filling`
}
# Functions with which libraries' own pickles make objects; Cython's are named after their class.
_MAKERS = """
numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar numpy.core.numeric._frombuffer
numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar numpy._core.numeric._frombuffer
numpy.ma.core._mareconstruct numpy.random._pickle.__randomstate_ctor numpy.random._pickle.__generator_ctor
numpy.random._pickle.__bit_generator_ctor numpy.core._convert_to_ufunc numpy.core._ufunc_reconstruct
pandas._libs.internals._unpickle_block pandas.core.indexes.base._new_Index
pandas.core.indexes.datetimes._new_DatetimeIndex pandas._libs.tslibs.timestamps._unpickle_timestamp
pandas._libs.tslibs.timedeltas._timedelta_unpickle pandas._libs.tslibs.period._unpickle_period
pandas._libs.tslibs.nattype._nat_unpickle pandas.core.indexes.period._new_PeriodIndex
pandas.core.indexes.interval._new_IntervalIndex
pytz._UTC pytz._p
matplotlib.cbook._picklable_class_constructor
sklearn.neighbors._kd_tree.newObj sklearn.neighbors._ball_tree.newObj sklearn.metrics._dist_metrics.newObj
torch._utils._rebuild_tensor_v2 torch._utils._rebuild_parameter torch._utils._rebuild_sparse_tensor
torch._tensor._rebuild_from_type_v2
"""
MAKERS = frozenset(_MAKERS.split())
FIGURES = ("matplotlib", "mpl_toolkits", "seaborn")
CYTHON = "__pyx_unpickle_"
TENSORFLOW = "convert_to_tensor"  # how the function begins with which its tensors are made
CONSTANTS = ("ufunc", "dtype", "layout", "memory_format", "NAType", "NaTType", "_NoValueType", "DType")  # their types


def loads(data: bytes) -> Any:
    """Return the value of a pickle; pickle.UnpicklingError for one that does more than the module says."""
    return Reader(io.BytesIO(data)).load()


def method(owner: Any, name: str) -> Any:
    """Return a bound method, as pickles of Matplotlib's figures hold them, in place of `getattr`."""
    kind = owner if isinstance(owner, type) else type(owner)
    found = getattr(owner, name)
    known = kind.__module__.partition(".")[0] in FIGURES or (kind, name) == (list, "remove")  # how an artist is removed
    if not known or name.startswith("__") or not callable(found):
        raise pickle.UnpicklingError(f"asks for {kind.__name__}.{name}")
    return found


def tensor_storage(data: bytes) -> Any:
    """Return the storage of a torch tensor, in place of torch's own function, which reads any pickle."""
    torch: Any = sys.modules["torch"]
    return torch.load(io.BytesIO(data), weights_only=True)


def rebuilt(kind: type, base: type, state: Any) -> Any:
    """Return an object as copyreg makes it, in place of its own function; of dictionaries (scipy's DOK) alone."""
    if base is not dict or not issubclass(kind, dict):
        raise pickle.UnpicklingError(f"rebuilds {kind.__name__}")
    made = dict.__new__(kind, state)
    dict.__init__(made, state)
    return made


FIXED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)  # never changed
STANDINS = {("builtins", "getattr"): method, ("torch.storage", "_load_from_bytes"): tensor_storage}
STANDINS[("copyreg", "_reconstructor")] = rebuilt


InPython: Any = vars(pickle)["_Unpickler"]  # Python's own, written in Python, whose steps can be replaced


class Reader(InPython):
    """An unpickler that makes known objects only, and calls only what makes them."""

    dispatch: dict[int, Any] = dict(InPython.dispatch)

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.makers = {id(one) for one in STANDINS.values()}

    def find_class(self, module: str, name: str) -> Any:
        """Return a class, a function or a constant that is allowed."""
        if (module, name) in STANDINS:
            return STANDINS[module, name]
        if module in CLASSES and name in CLASSES[module]:
            return super().find_class(module, name)
        if module.partition(".")[0] not in PACKAGES:
            raise pickle.UnpicklingError(f"has {module}.{name} in it")
        found = super().find_class(module, name)
        known = str(getattr(found, "__module__", "")).partition(".")[0] in PACKAGES
        plain = name.rpartition(".")[2]
        tensor = module.startswith("tensorflow") and plain.startswith(TENSORFLOW)
        if f"{module}.{name}" in MAKERS or plain.startswith(CYTHON) or tensor:
            self.makers.add(id(found))
        elif isinstance(found, type) and issubclass(found, type):
            raise pickle.UnpicklingError(f"has the kind of a class in it, {name}")
        elif not (known and callable(found)) and type(found).__name__ not in CONSTANTS:
            raise pickle.UnpicklingError(f"has {module}.{name} in it")
        return found

    def checked(self, made_by: Any) -> None:
        """UnpicklingError unless this may be called: a class, or a maker."""
        if made_by is type or not (isinstance(made_by, type) or id(made_by) in self.makers):
            raise pickle.UnpicklingError(f"calls {getattr(made_by, '__qualname__', made_by)!s:.80}")

    def load_reduce(self) -> None:
        made_by, given = self.stack[-2:]
        self.checked(made_by)
        if made_by is defaultdict and given and not isinstance(given[0], type | None):
            raise pickle.UnpicklingError("would call a function for a missing key")
        super().load_reduce()

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        """As pickle's, but neither a class nor a method is changed."""
        owner, state = self.stack[-2], self.stack[-1]
        if isinstance(owner, FIXED):
            raise pickle.UnpicklingError("changes a class or a function")
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        names = {name for part in parts if isinstance(part, dict) for name in part if isinstance(name, str)}
        kind = type(owner)
        if kind.__module__.partition(".")[0] not in FIGURES:
            for name in names:
                if callable(getattr(kind, name, None)) and not isinstance(getattr(kind, name), type):
                    raise pickle.UnpicklingError(f"replaces {kind.__name__}.{name}")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.checked(klass)
        super()._instantiate(klass, args)


def filling(where: Callable[[Any], Any], load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the step that puts items into the object at `where`, for collections alone.

    The `append` of another object could be any function.
    """

    def checked(reader: Any) -> None:
        if not isinstance(owner := where(reader), list | dict | set | deque):
            raise pickle.UnpicklingError(f"puts items into {type(owner).__name__}")
        load(reader)

    return checked


# The instructions that put items into an object, and where in a reader that object lies.
FILLS: dict[bytes, Callable[[Any], Any]] = {
    pickle.APPEND: lambda reader: reader.stack[-2],
    pickle.APPENDS: lambda reader: reader.metastack[-1][-1],
    pickle.ADDITEMS: lambda reader: reader.metastack[-1][-1],
    pickle.SETITEM: lambda reader: reader.stack[-3],
    pickle.SETITEMS: lambda reader: reader.metastack[-1][-1],
}
for _code, _where in FILLS.items():
    Reader.dispatch[_code[0]] = filling(_where, InPython.dispatch[_code[0]])
