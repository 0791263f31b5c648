"""What every command of the study shares: one clear line and an exit status when something is wrong."""

import sys
from collections.abc import Callable

from lib.core.records import StudyError


def guarded(main: Callable[[], None]) -> int:
    """Run `main`; a StudyError becomes one clear message and exit status 1."""
    try:
        main()
    except StudyError as error:
        print(f"\nstopped: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nstopped by you; the same command goes on from here", file=sys.stderr, flush=True)
        return 130
    return 0
