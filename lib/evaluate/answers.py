"""What a model's answer is, read from its syntax, and what is put around it so that the sandbox can run its function.

A name in a text decides nothing: `def f` also occurs in `def factorial`, in strings and inside other functions.
"""

from lib.core.programs import parsed


def is_body(code: str, signature: str) -> bool:
    """Whether an answer is the body of a function, to be put under its signature, and not a program by itself.

    An answer that is neither, because it is cut off or no Python, counts as what its first line looks like.
    """
    if parsed(code) is not None:
        return False
    return parsed(signature + code) is not None or code[:1].isspace()


def with_own_function(code: str, entry: str) -> str:
    """Return a program whose last line binds its function anew, under the same name.

    To the sandbox the function is then the response's, even when the response imports it (`from math import sqrt`).
    """
    return f"{code}\n\n{entry} = {entry}\n"


def unused(name: str, code: str) -> str:
    """Return a name that a program does not use, so that tests which define it replace nothing of the program's."""
    while name in code:
        name += "_"
    return name
