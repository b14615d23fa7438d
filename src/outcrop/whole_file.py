"""Files that are written whole or not at all, whenever the writer ends.

The data goes to a temporary file beside, `.NAME.<random>`, which is locked while it is written and then takes the
name. What a killed writer has left is not locked: the next writer of that name takes it away.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from enum import Enum
from pathlib import Path

from outcrop.errors import storage_error

_RANDOM_BYTES = 8
_RANDOM = re.compile(r"[0-9a-f]{16}")


class _Lock(Enum):
    OURS = 1
    OF_ANOTHER = 2
    IMPOSSIBLE = 3  # Some file systems lock nothing.


def write_whole_file(path: Path, data: bytes, *, mode: int = 0o666, durable: bool = False) -> None:
    """Puts a file with `data` and the permissions `mode`, less the umask, in the place of `path`.

    With `durable` it survives a power cut from then on. StorageError if it cannot be written; then `path` is as it
    was."""
    try:
        _clear_remnants(path)
        while not _written(path, data, mode, durable=durable):
            continue
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, str(path)) from error


def _written(path: Path, data: bytes, mode: int, *, durable: bool) -> bool:
    """Whether it was written: whoever clears up may take the temporary file away before it is locked."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if _lock(descriptor) is _Lock.OF_ANOTHER or not os.fstat(descriptor).st_nlink:
                temporary.unlink(missing_ok=True)
                return False
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
            temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return True


def sync_directory(directory: Path) -> None:
    """Makes durable which names are in `directory`; OSError where that fails."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear_remnants(path: Path) -> None:
    try:
        beside = list(path.parent.iterdir())
    except PermissionError:
        return  # One may be allowed to write into a directory and not to list it.
    for remnant in beside:
        start, _, end = remnant.name.rpartition(".")
        if start == f".{path.name}" and _RANDOM.fullmatch(end):
            _remove_unless_locked(remnant)


def _remove_unless_locked(remnant: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(remnant, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _lock(descriptor) is _Lock.OURS:
                remnant.unlink()
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> _Lock:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.OF_ANOTHER
    except OSError:
        return _Lock.IMPOSSIBLE
    return _Lock.OURS
