"""Files of a layer that are the same, such as Perl's tables in two of its packages, made one file with several names.

A repository stores contents once anyway; so does a layer on a disk. Its digest, which is of paths and contents, does
not change.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from outcrop.errors import storage_error

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems say that have no hard links, or none across directories."""

_LEAST_BYTES = 4096
"""Smaller ones are not looked at: a block of a disk is what they take."""


def join_equal_files(tree: Path) -> int:
    """Makes hard links of files below `tree` that have the same contents and may both be executed or not; the bytes
    that this frees. Of equal files the first by its path gives its time. Where the file system has no such links, the
    rest stays as it is. StorageError."""
    freed = 0
    try:
        for alike in _of_one_size(tree):
            first: dict[bytes, str] = {}
            for paths in alike:
                with open(paths[0], "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
                kept = first.setdefault(digest, paths[0])
                if kept == paths[0]:
                    continue
                size = os.stat(paths[0]).st_size
                if not all(_joined(kept, path) for path in paths):
                    return freed
                freed += size
    except OSError as error:
        raise storage_error(error) from error
    return freed


def _joined(kept: str, path: str) -> bool:
    """Whether `path` is now another name of the file `kept`; False where the file system has no such links."""
    new = f"{path}.outcrop-new"
    try:
        os.link(kept, new)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    os.rename(new, path)
    return True


def _of_one_size(tree: Path) -> Iterator[list[list[str]]]:
    """The files of one size and one mode, where there are several: each with all its names. In the order of paths."""
    names: dict[int, list[str]] = {}
    sizes: defaultdict[tuple[int, bool], list[list[str]]] = defaultdict(list)
    for directory, directories, files in os.walk(tree):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size < _LEAST_BYTES:
                continue
            if facts.st_ino in names:
                names[facts.st_ino].append(path)
            else:
                names[facts.st_ino] = [path]
                sizes[facts.st_size, bool(facts.st_mode & stat.S_IXUSR)].append(names[facts.st_ino])
    return (alike for alike in sizes.values() if len(alike) > 1)
