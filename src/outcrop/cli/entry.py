"""The `outcrop` program. `--version` alone is answered before anything else is imported."""

from __future__ import annotations

import sys
from typing import NoReturn

from outcrop import __version__

VERSION_LINE = f"outcrop {__version__}"

INTERRUPTED_EXIT_CODE = 130
"""Ctrl-C before the first command was known; `outcrop.errors.Interrupted` says the same afterwards."""


def main() -> NoReturn:
    """Run the command line and exit with the code that `outcrop.errors` gives."""
    if sys.argv[1:] == ["--version"] and _answered(VERSION_LINE):
        sys.exit(0)
    try:
        from outcrop.cli import app, process

        process.prepare()
        code = app.run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT_CODE)
    process.leave(code)


def _answered(line: str) -> bool:
    """Whether standard output took `line`; where it did not, the slow path says why."""
    if sys.stdout is None:
        return False
    try:
        print(line, flush=True)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
