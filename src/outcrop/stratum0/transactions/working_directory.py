"""Where in a view a command runs: at the path of the transaction, which need not be there yet, or may be a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from outcrop.errors import NotFound, storage_error
from outcrop.stratum0.transactions.namespace import enter_namespace_of, in_child

_KEPT = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY)
"""What `rmdir` says of a directory that the command has put something into or in the place of, or has mounted at."""


@contextmanager
def working_directory(directory: Path, view: Path, *, inside: int | None = None) -> Iterator[Path]:
    """The directory in which a command works on `directory`, a path in `view`; for a file, the one that holds it.

    Where nothing is, it is made, with the directories above it. Those of them that are empty after the block are taken
    away again. With `inside`, all that happens in the namespace of that process. StorageError if it cannot be made, or
    not be taken away."""
    if _is_there(directory, inside):
        yield directory if _is_there(directory, inside, os.path.isdir) else directory.parent
        return
    above = takewhile(lambda path: path != view, (directory, *directory.parents))
    missing = [path for path in above if not _is_there(path, inside)]

    def make() -> None:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)

    try:
        _run(make, inside)
        yield directory
    finally:
        _run(lambda: _remove_empty(missing), inside)


def _remove_empty(directories: Sequence[Path]) -> None:
    """Removes `directories`, each of which holds the one before it, as far as they are empty."""
    for path in directories:
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in _KEPT:
                return
            raise storage_error(error) from error


def _is_there(path: Path, inside: int | None, question: Callable[[Path], bool] = os.path.lexists) -> bool:
    def ask() -> None:
        if not question(path):
            raise NotFound(what=str(path))

    try:
        _run(ask, inside)
    except NotFound:
        return False
    return True


def _run(work: Callable[[], None], inside: int | None) -> None:
    """Runs `work` in a child: only that can enter a namespace and leave this process where it is."""

    def run() -> None:
        if inside is not None:
            enter_namespace_of(inside)
        work()

    in_child(run)
