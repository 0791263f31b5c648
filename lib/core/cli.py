"""What all commands of the study share: one clear line and an exit status when something is wrong."""

import sys
from collections.abc import Callable
from typing import NoReturn

from lib.core.records import StudyError

FAILED, REFUSED, INTERRUPTED = 1, 2, 130  # a check failed; the command could not do its work; Ctrl-C


def command(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` and exit with what it returns (None is 0).

    A StudyError becomes one line on standard error and status 2, as argparse exits for a wrong argument.
    """
    try:
        status = main() or 0
    except StudyError as error:
        print(f"stopped: {error}", file=sys.stderr, flush=True)
        status = REFUSED
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr, flush=True)
        status = INTERRUPTED
    sys.exit(status)
