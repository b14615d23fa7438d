"""Temporary directories of which nothing stays, even if their process is killed.

A directory is locked as long as somebody works in it. One that nobody locks was left by a process that was killed, and
the next one for the same purpose takes it away. A lock goes with its last descriptor, so it also says the truth where
processes cannot see each other, as in two containers that share a directory for temporary files.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import storage_error


@dataclass(frozen=True, slots=True)
class Scratch:
    """A directory to work in. A program that is handed the descriptor `lock` works in it as well, whatever becomes of
    this process."""

    directory: Path
    lock: int


@contextmanager
def scratch_directory(purpose: str, parent: Path | None = None) -> Iterator[Scratch]:
    """A new private directory within the block, and nothing of it afterwards. Takes away what killed processes of this
    user have left for the same `purpose`, a word.

    It is made in `parent`, by default the directory for temporary files. StorageError if it cannot be made."""
    place = parent or Path(tempfile.gettempdir())
    prefix = _prefix(purpose)
    _remove_leftovers(place, prefix)
    try:
        scratch = _new_scratch(place, prefix)
    except OSError as error:
        raise storage_error(error, str(place)) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch.directory, ignore_errors=True)
        os.close(scratch.lock)


def remove_leftovers(purpose: str, parent: Path) -> None:
    """Takes away what killed processes of this user have left in `parent` for the `purpose`, where nobody needs a
    directory for it."""
    _remove_leftovers(parent, _prefix(purpose))


def _prefix(purpose: str) -> str:
    return f"outcrop-{purpose}-{os.getuid()}-"


def _new_scratch(place: Path, prefix: str) -> Scratch:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        # Before it is locked, somebody who clears up may take it away: then another one is made.
        with suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with suppress(OSError):  # some file systems lock nothing; there, nobody clears up either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if directory.exists():
                return Scratch(directory, lock)
            os.close(lock)


def _remove_leftovers(place: Path, prefix: str) -> None:
    for directory in place.glob(f"{prefix}*"):
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # somebody else's, or gone already
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.getuid():
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue  # somebody works in it, or it cannot be told
        finally:
            os.close(lock)
