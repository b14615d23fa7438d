"""Reads every file below a directory that the kernel shows. The command of a run, which sees the repository there:

    python -I -S shown_files.py DIRECTORY FOUND

writes to the file FOUND what `read_all` found, as JSON. It needs nothing but Python, so that it begins soon.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence


def read_all(top: str, names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """`files` as base64 and `failures` by errno, by their paths below `top`: of `names`, or of all that is there."""
    files: dict[str, str] = {}
    failures: dict[str, str] = {}

    def fail(path: str, error: OSError) -> None:
        failures[os.path.relpath(path, top)] = errno.errorcode.get(error.errno or 0, "?")

    for path in [os.path.join(top, name) for name in names] or _all_paths(top, fail):
        try:
            with open(path, "rb") as file:
                files[os.path.relpath(path, top)] = base64.b64encode(file.read()).decode()
        except OSError as error:
            fail(path, error)
    return {"files": files, "failures": failures}


def _all_paths(top: str, fail: Callable[[str, OSError], None]) -> Iterator[str]:
    """The paths of all files; `fail` hears of directories that cannot be listed."""
    for parent, _, names in os.walk(top, onerror=lambda error: fail(error.filename, error)):
        yield from (os.path.join(parent, name) for name in names)


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as found:
        json.dump(read_all(sys.argv[1]), found)
