"""What changes when a file does, by which it is known without being read."""

from __future__ import annotations

import os

TOO_MANY = "?"
"""The stamp of a directory with more entries than anybody would look through at every start."""

_MAXIMUM_FILES = 500


def stamp_of_status(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file is replaced or written to."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamp_of(path: str | os.PathLike[str]) -> str:
    """What changes when the file at `path` does, or any file below the directory at `path`."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"-{error.errno}"
    own = "-".join(map(str, stamp_of_status(status)))
    if not os.path.isdir(path):
        return own
    stamps = [own]
    # A site may have its configuration elsewhere, and a link in its place. Links may go round in circles.
    for directory, directories, names in os.walk(path, followlinks=True):
        directories.sort()
        stamps += [f"{directory}/{name} {stamp_of(f'{directory}/{name}')}" for name in sorted(names)]
        stamps += [f"{directory}/{name}" for name in directories]
        if len(stamps) > _MAXIMUM_FILES:
            return TOO_MANY
    return "\n".join(stamps)
