"""How bad input is told: one line, exit code 2, no traceback."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the caller gave cannot be used: one line that says what, and what to do."""


def run_script(main: Callable[[], None]) -> None:
    """Runs a script's `main` and exits: 0 when done, 2 on an `InputError`, 130 when interrupted.

    Args:
      main: the script; raises `InputError` for anything its user can mend.

    Raises:
      SystemExit: always.
    """
    try:
        main()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
