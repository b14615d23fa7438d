"""Running the command: it takes the place of this process.

So its exit code, its signals, its terminal and its job control are those of `outcrop run`, and nobody waits in between.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than this takes to run.
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

NOT_FOUND_EXIT_CODE, NOT_EXECUTABLE_EXIT_CODE = 127, 126
"""What shells say of a command that does not exist, or cannot be run."""

WAY_VARIABLE = "OUTCROP_RUN_WAY"
PREFIX_VARIABLE = "OUTCROP_RUN_PREFIX"
"""Where the command finds the repository: `/cvmfs/<name>` on all rungs but the relocated copy."""

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores them, and a program that it starts would too."""


def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Turns this process into `command`; ends it with 127 or 126, as shells do, if there is no such command."""
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    code, hint = NOT_EXECUTABLE_EXIT_CODE, ""
    try:
        os.execvpe(command[0], list(command), dict(environment))
    except (FileNotFoundError, NotADirectoryError):
        code = NOT_FOUND_EXIT_CODE
        problem, hint = _what_is_missing(command[0], environment)
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError as error:
        problem = str(error)
    text = f"error: {command[0]}: {problem}\n" + (f"\nhint: {hint}\n" if hint else "")
    os.write(2, text.encode("utf-8", "surrogateescape"))
    os._exit(code)


def _what_is_missing(command: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What to say of `command`, which was not found, and what to do about it."""
    prefix = environment.get(PREFIX_VARIABLE, "/cvmfs/REPO")
    if "/" not in command:
        return (
            "there is no such command",
            f"name it with its path below {prefix}, or add its directory there to PATH",
        )
    if os.path.exists(command):
        return (
            "the program that it is to be run by does not exist",
            "look at its first line (`head -n 1`), or at its interpreter (`readelf -l`)",
        )
    return "there is no such command", f"check the path: `outcrop run REPO -- ls {prefix}` shows what is there"
