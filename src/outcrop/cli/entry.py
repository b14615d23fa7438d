"""The `outcrop` program: starts fast, and turns every error into one sentence, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from outcrop import __version__

VERSION_LINE = f"outcrop {__version__}"

INTERNAL_ERROR_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: a fault of ours, not of the user's."""


def main() -> NoReturn:
    """Run the command line and exit. `--version` alone is answered before anything else is imported."""
    if sys.argv[1:] == ["--version"]:
        print(VERSION_LINE)
        sys.exit(0)
    from outcrop.cli.app import run

    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    main()
