"""Runs the cases of tests one by one, as their authors' runners would: unittest's, and pytest's functions and classes.

Runs inside the box only, in the cell. Standard library only.
"""

import sys
import traceback
import unittest
from collections.abc import Callable, Container, Iterable, Iterator
from types import CoroutineType, FunctionType
from typing import Any

from lib.sandbox import gate

VARARGS = 4  # the flag of a code object that takes *arguments
Tell = Callable[[str, str, BaseException | None], None]  # name, verdict if it is known, exception


class Finished(SystemExit):
    """The end of `unittest.main()`, which leaves a program."""


class Result(unittest.TestResult):
    """Tells of every case as it ends; the exceptions are not formatted, as their texts are the response's."""

    def __init__(self, cases: "Cases") -> None:
        super().__init__()
        self.cases = cases

    def startTest(self, test: Any) -> None:
        self.testsRun += 1
        self.cases.begin(test.id())

    def stopTest(self, test: Any) -> None:
        self.cases.running = ""

    def addSuccess(self, test: Any) -> None:
        if test.id() in self.cases.returned or isinstance(test, unittest.IsolatedAsyncioTestCase):
            self.cases.tell(_name(test), "pass", None)
        else:  # an exception that unittest takes for the end of a subtest, say
            self.addFailure(test, (None, AssertionError("did not come to its end"), None))

    def addError(self, test: Any, err: Any) -> None:
        self.errors.append((test, ""))
        self.cases.tell(_name(test), "", err[1])

    def addFailure(self, test: Any, err: Any) -> None:
        self.failures.append((test, ""))
        self.cases.tell(_name(test), "", err[1])

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.addFailure(test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        self.skipped.append((test, reason))
        self.cases.skipped(_name(test), sys.exc_info()[1])

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.expectedFailures.append((test, ""))
        del self.cases.failures[self.cases.mark :]
        self.cases.tell(_name(test), "pass", None)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.unexpectedSuccesses.append(test)
        self.cases.tell(_name(test), "", AssertionError("expected to fail, and did not"))


class Cases:
    """The cases of one test module; `tell` hears of each that was run."""

    def __init__(self, space: dict[str, Any], entered: Container[str], tell: Tell, failures: list[Any], tests: str):
        """`space` is the module before the tests run in it; `entered` names the functions that they have called.

        `failures` are those that assertions note (`lib.sandbox.cell.Checks`): an expected one is taken out again.
        """
        self.space, self.before, self.entered, self.lines = space, dict(space), entered, tests.splitlines()
        self.tell, self.failures, self.mark = tell, failures, 0
        self.running, self.ran, self.returned = "", set[str](), set[str]()

    def begin(self, identity: str) -> None:
        """A case starts."""
        self.running, self.mark = identity, len(self.failures)
        self.ran.add(identity)

    def skipped(self, name: str, error: BaseException | None) -> None:
        """A case was skipped: by a line of the tests that says so, else a response has failed it."""
        places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error and error.__traceback__)]
        lines = [self.lines[line - 1] for file, line in places if file == gate.TESTS and line <= len(self.lines)]
        theirs = gate.RESPONSE not in {file for file, _ in places} and (not lines or "skip" in lines[-1].lower())
        self.tell(name, *(("skip", None) if theirs else ("", error)))

    def own(self) -> Iterator[tuple[str, Any]]:
        """What the tests have defined, in that order."""
        for name, value in list(self.space.items()):
            if self.before.get(name, self) is not value and not name.startswith("__"):
                yield name, value

    # ---- unittest

    def take_over(self) -> None:
        """From now on `unittest.main` and the runners of unittest run cases here."""
        unittest.main = unittest.TestProgram = self.main  # type: ignore[assignment,misc]
        unittest.TextTestRunner.run = lambda _, test: self.run(test)  # type: ignore[method-assign,assignment]

        def call(case: unittest.TestCase, method: Callable[[], Any]) -> None:
            method()
            self.returned.add(case.id())

        unittest.TestCase._callTestMethod = call  # type: ignore[attr-defined]

    def main(
        self, module: Any = "__main__", defaultTest: Any = None, argv: Any = None, exit: bool = True, **_: Any
    ) -> Any:
        """What unittest.main does: run every case of the module, or those that are named, and leave."""
        names = [word for word in (argv or ())[1:] if isinstance(word, str) and word[:1] != "-"]
        names = names or ([defaultTest] if isinstance(defaultTest, str) else list(defaultTest or ()))
        if names:
            place = sys.modules["__main__"] if module in ("__main__", None) else module
            suite = unittest.TestLoader().loadTestsFromNames(names, place)
        else:
            suite = self.suite(self.own())
        result = self.run(suite)
        if exit:
            raise Finished(int(not result.wasSuccessful()))
        return type("Program", (), {"result": result})()

    def suite(self, found: Iterable[tuple[str, Any]]) -> unittest.TestSuite:
        """The cases among these objects, or what the tests' `load_tests` makes of them."""
        loader, suite = unittest.TestLoader(), unittest.TestSuite()
        for case in dict.fromkeys(value for _, value in list(found) if _is_case(value)):
            suite.addTest(loader.loadTestsFromTestCase(case))
        load: Any = dict(self.own()).get("load_tests")
        return load(loader, suite, None) if load is not None else suite

    def run(self, suite: Any) -> Result:
        """Run a suite or a case."""
        result, waiting = Result(self), [(case.id(), _name(case)) for case in _flat(suite)]
        suite(result)
        skipped = any(not isinstance(case, unittest.TestCase) for case, _ in result.skipped)  # by setUpClass, say
        for identity, name in waiting if result.wasSuccessful() and not skipped else ():
            if identity not in self.ran:
                self.tell(name, "", AssertionError("was not run"))
        return result

    # ---- pytest

    def one(self, name: str, *steps: Callable[[], Any]) -> None:
        """Run one case, whose steps are functions without arguments; the last is run whatever the others do."""
        self.begin(name)
        *before, last = steps
        try:
            try:
                for step in before:
                    _finish(step())
            finally:
                _finish(last())
        except unittest.SkipTest as skipped:
            self.skipped(name, skipped)
        except BaseException as error:
            self.tell(name, "", error)
        else:
            self.tell(name, "pass", None)
        self.running = ""

    def plain_class(self, case: type) -> None:
        """Run the tests of a class without a base of unittest, each with an object of its own."""

        def hook(holder: Any, name: str, *values: Any) -> Callable[[], Any]:
            found = getattr(holder, name, None)
            if found is None:
                return lambda: None
            return lambda: found(*(values if _takes(found, *values) else ()))

        for name, value in vars(case).items():
            if isinstance(value, type) and name.startswith("Test"):
                self.plain_class(value)
        names = dict.fromkeys(name for base in reversed(case.__mro__) for name in vars(base))
        names = [name for name in names if name.startswith("test") and callable(getattr(case, name, None))]
        if case.__init__ is not object.__init__:  # pytest takes such a class for no test
            return
        hook(case, "setup_class", case)()
        for name in names:
            one = case()
            test = getattr(one, name)
            if _takes(test):
                before, after = hook(one, "setup_method", test), hook(one, "teardown_method", test)
                self.one(f"{case.__name__}.{name}", before, test, after)
        hook(case, "teardown_class", case)()

    def rest(self) -> None:
        """Run what the tests define and have not run themselves."""
        self.run(self.left(self.suite(self.own())))
        for name, value in self.own():
            if isinstance(value, type) and name.startswith("Test") and not issubclass(value, unittest.TestCase):
                self.plain_class(value)
            elif (
                isinstance(value, FunctionType)
                and name.startswith("test")
                and name not in self.entered
                and _takes(value)
            ):
                self.one(name, value, lambda: None)

    def left(self, suite: Any) -> unittest.TestSuite:
        """The cases of a suite that have not been run."""
        return unittest.TestSuite(case for case in _flat(suite) if case.id() not in self.ran)


def _is_case(value: Any) -> bool:
    case = isinstance(value, type) and issubclass(value, unittest.TestCase)
    return case and not str(value.__module__).startswith("unittest.")


def _flat(suite: Any) -> Iterator[Any]:
    for case in suite if isinstance(suite, unittest.TestSuite) else [suite]:
        yield from _flat(case) if isinstance(case, unittest.TestSuite) else [case]


def _takes(function: Any, *values: Any) -> bool:
    """Whether a function can be called with so many arguments; by its code, as `inspect` may have been patched."""
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return True
    given = len(values) + (plain is not function)
    needed = code.co_argcount - len(plain.__defaults__ or ())
    named = code.co_kwonlyargcount - len(plain.__kwdefaults__ or ())
    return not named and needed <= given and (given <= code.co_argcount or bool(code.co_flags & VARARGS))


def _finish(made: Any) -> None:
    if isinstance(made, CoroutineType):
        import asyncio  # not in advance: it is large, and hardly ever needed

        asyncio.run(made)


def _name(test: Any) -> str:
    return test.id().removeprefix("__main__.")
