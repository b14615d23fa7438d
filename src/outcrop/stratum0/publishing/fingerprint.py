"""What tells that a directory on disk is the very one that was published last: nothing in it has to be looked at then.

A fingerprint is over what `lstat` says of every entry, the time of change (ctime) among it. No program can set that, so
whoever writes a file, or changes its name, mode, owner or attributes, changes the fingerprint. It costs one `lstat` for
each entry and says nothing to another machine.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from outcrop.errors import storage_error

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class TreeFingerprint:
    """The fingerprint of a tree, and the latest time of change in it (nanoseconds since 1970)."""

    digest: bytes
    newest_ns: int


@runtime_checkable
class FingerprintedTree(Protocol):
    """A tree that can tell quickly whether it is what it was."""

    def fingerprint(self) -> TreeFingerprint: ...


def directory_fingerprint(root: bytes, parts: Iterable[bytes] = (b"",)) -> TreeFingerprint:
    """The fingerprint of `parts` of the directory `root`, which are paths that begin with `/`; all of it by default."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    newest = 0
    try:
        pending = []
        for part in parts:
            status = os.lstat(root + part)
            digest.update(part + b"\0" + array("Q", _facts(status)).tobytes())
            newest = max(newest, status.st_ctime_ns)
            if stat.S_ISDIR(status.st_mode):
                pending.append(root + part)
        while pending:
            directory = pending.pop()
            names: list[bytes] = []
            numbers = array("Q")
            with os.scandir(directory) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    names.append(entry.name)
                    numbers.extend(_facts(status))
                    newest = max(newest, status.st_ctime_ns)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(entry.path)
            digest.update(b"\0".join(names) + b"/" + numbers.tobytes())
    except OSError as error:
        raise storage_error(error) from error
    return TreeFingerprint(digest.digest(), newest)


def _facts(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_ino,
        status.st_dev,
        status.st_size,
        status.st_mtime_ns % 2**64,  # times before 1970 are negative
        status.st_ctime_ns % 2**64,
        status.st_mode,
        status.st_uid << 32 | status.st_gid,
        status.st_nlink,
    )
