"""The `outcrop` program. `--version` alone, and a run that is known, are answered before anything else is imported."""

from __future__ import annotations

import sys

from outcrop import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than the quick answers take.
    from typing import NoReturn

VERSION_LINE = f"outcrop {__version__}"

INTERRUPTED_EXIT_CODE = 130
"""Ctrl-C before the first command was known; `outcrop.errors.Interrupted` says the same afterwards."""


def main() -> NoReturn:
    """Run the command line and exit with the code that `outcrop.errors` gives."""
    if sys.argv[1:] == ["--version"] and _answered(VERSION_LINE):
        sys.exit(0)
    try:
        if sys.argv[1:2] == ["run"]:
            from outcrop.client.ladder.run_again import become_known

            become_known(sys.argv[2:])
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
