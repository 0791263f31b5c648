"""Stubs in place of a response: an assertion that holds whatever they do says nothing about the response.

After a pass the tests run again with stubs, the next kind only while no assertion has failed with those before it.
Runs inside the box only, in the cell. Standard library only.
"""

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any

KINDS = ("another", "nothing", "equal", "busy")  # what a stub returns or does, in the order in which they are tried


class Anything:
    """An object with which almost everything can be done.

    It is all of its attributes, items and results, but not what it is reckoned to: f(2) == f(1) + f(1) can fail. With
    `agrees` it equals, contains and exceeds everything and is empty; else nothing, and is long.
    """

    def __init__(self, agrees: bool) -> None:
        self.agrees = agrees

    def itself(self, *_: object, **__: object) -> Any:
        return self

    def reckoned(self, *_: object) -> Any:
        return Anything(self.agrees)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # so that protocols it does not know stay unknown: __array__, __deepcopy__
            raise AttributeError(name)
        return self

    def __bool__(self) -> bool:
        return not self.agrees  # as its length is 0 then

    def __format__(self, how: str) -> str:
        return "stub"

    def __eq__(self, other: object) -> bool:
        return self.agrees or other is self

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        return self.agrees

    __le__ = __gt__ = __ge__ = __lt__

    def __contains__(self, item: object) -> bool:
        return self.agrees

    def __hash__(self) -> int:
        return 7919

    def __len__(self) -> int:
        return 0 if self.agrees else 7919

    __int__ = __index__ = __trunc__ = __len__

    def __float__(self) -> float:
        return float(len(self))

    def __iter__(self) -> Any:
        return iter(() if self.agrees else (self,))

    def __await__(self) -> Any:
        yield from ()
        return self


for _name in ("call", "getitem", "next", "enter"):
    setattr(Anything, f"__{_name}__", Anything.itself)
for _name in ["neg", "pos", "abs", "invert", "round"]:
    setattr(Anything, f"__{_name}__", Anything.reckoned)
for _name in [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]:
    setattr(Anything, f"__{_name}__", Anything.reckoned)
    setattr(Anything, f"__r{_name}__", Anything.reckoned)
for _name in ("setitem", "delitem", "exit"):
    setattr(Anything, f"__{_name}__", lambda *_: None)


def behaviour(kind: str) -> tuple[Any, Callable[[tuple[Any, ...]], Any]]:
    """The value of a kind of stub, and what it does when it is called with these arguments."""
    value = None if kind == "nothing" else Anything(kind == "equal")

    def act(values: tuple[Any, ...]) -> Any:
        if kind != "busy":
            return value
        print("busy")
        for one in values:
            with suppress(Exception):
                if callable(one):
                    one()
                elif isinstance(one, (list, set, dict, bytearray)):
                    one.clear()
        return values[0] if values else value

    return value, act


def install(space: dict[str, Any], names: Iterable[str], kind: str) -> None:
    """Replace these names of a module by stubs; functions and classes keep their docstrings, for doctest."""
    value, act = behaviour(kind)
    for name in names:
        original = space.get(name)
        if inspect.isroutine(original):
            space[name] = _function(original, space, act)
        elif isinstance(original, type):
            space[name] = _class(original, space, value, act)
        elif name in space:
            space[name] = value


def _function(original: Any, space: dict[str, Any], act: Callable[[tuple[Any, ...]], Any]) -> FunctionType:
    def stub(*values: Any, **_: Any) -> Any:
        return act(values)

    code = stub.__code__.replace(co_filename="<stub>")  # without source
    made = FunctionType(code, space, "stub", None, (CellType(act),))
    made.__doc__, made.__module__ = getattr(original, "__doc__", None), "__main__"
    return made


def _class(original: type, space: dict[str, Any], value: Any, act: Callable[[tuple[Any, ...]], Any]) -> type:
    body: dict[str, Any] = {"__doc__": original.__doc__, "__module__": "__main__", "__new__": lambda *_, **__: value}
    for name, held in vars(original).items():
        if inspect.isfunction(held) and name not in body:
            body[name] = _function(held, space, act)
        elif isinstance(held, (staticmethod, classmethod)):
            body[name] = staticmethod(_function(held.__func__, space, act))
    return type("Stub", (), body)
