"""The place of a checkout: a directory beside the destination that takes its name when everything is in it.

A single file is made in such a directory, too, and takes its name in the same way.

The unfinished tree is locked as long as its process lives. One that nobody locks was left by a process that died, and
the next checkout to the same destination takes it away.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outcrop.errors import AlreadyExists, NotFound, storage_error

_UNFINISHED = "outcrop-unfinished"
_PRIVATE = 0o700
_READABLE = 0o666


@contextmanager
def unfinished(destination: Path) -> Iterator[Path]:
    """A new private directory that becomes `destination` at the end of the block, or is gone if that fails.

    `destination` must not exist, or be an empty directory: AlreadyExists otherwise, before anything is written.
    NotFound if the directory that it stands in is not there, StorageError when it cannot be written to."""
    destination = destination.resolve()
    check_free(destination)
    with _private_place(destination) as place:
        yield place
        os.rename(place, destination)


@contextmanager
def unfinished_file(destination: Path) -> Iterator[Path]:
    """A path in a new private directory. The file that the block makes there becomes `destination`, readable as the
    umask allows; whatever else it leaves beside it is taken away.

    `destination` must not exist; errors are those of `unfinished`."""
    destination = destination.resolve()
    check_new_file(destination)
    with _private_place(destination) as place:
        file = place / "file"
        yield file
        file.chmod(_READABLE & ~_umask())
        os.rename(file, destination)
        remove_tree(place)


@contextmanager
def _private_place(destination: Path) -> Iterator[Path]:
    """A new locked directory beside `destination`, which is taken away if the block fails."""
    _remove_leftovers(destination)
    place = _new_place(destination)
    lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
    except OSError as error:
        remove_tree(place)
        raise storage_error(error) from error
    except BaseException:
        remove_tree(place)
        raise
    finally:
        os.close(lock)


def _umask() -> int:
    """The permissions that new files of this process do not get. There is no other way to ask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_new_file(destination: Path) -> None:
    """Refuses a destination that exists, or whose parent is missing."""
    _check_parent(destination)
    if os.path.lexists(destination):
        raise AlreadyExists(what=str(destination), hint="name a file that does not exist; nothing was written")


def _check_parent(destination: Path) -> None:
    if not destination.parent.is_dir():
        hint = f"make it: `mkdir -p {shlex.quote(str(destination.parent))}`"
        raise NotFound(what=f"the directory {destination.parent}", hint=hint)


def check_free(destination: Path) -> None:
    """Refuses a destination that is anything but missing or an empty directory, or whose parent is missing."""
    _check_parent(destination)
    if destination.is_dir() and not destination.is_symlink():
        try:
            empty = not any(destination.iterdir())
        except OSError as error:
            raise storage_error(error) from error
        if empty:
            return
        raise AlreadyExists(
            what=f"the directory {destination}", hint="name one that does not exist or is empty; nothing was written"
        )
    if os.path.lexists(destination):
        raise AlreadyExists(what=str(destination), hint="name a directory that does not exist; nothing was written")


def remove_tree(place: Path) -> None:
    """Removes `place` and everything below, directories that forbid it included."""
    for directory, _, _ in os.walk(place):
        try:
            os.chmod(directory, _PRIVATE)
        except OSError:
            continue
    shutil.rmtree(place, ignore_errors=True)


def _new_place(destination: Path) -> Path:
    place = destination.parent / f".{destination.name[:100]}.{_UNFINISHED}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        place.mkdir(mode=_PRIVATE)
    except OSError as error:
        raise storage_error(error, str(destination.parent)) from error
    return place


def _remove_leftovers(destination: Path) -> None:
    prefix = f".{destination.name[:100]}.{_UNFINISHED}-"
    try:
        found = [path for path in destination.parent.iterdir() if path.name.startswith(prefix)]
    except OSError as error:
        raise storage_error(error) from error
    for path in found:
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # Somebody else's, or gone already: it is in nobody's way.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
        except BlockingIOError:
            # The checkout that writes it is alive.
            continue
        finally:
            os.close(lock)
