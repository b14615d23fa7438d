"""What was verified stays verified as long as its file is the same: a book of proofs beside the objects of a cache.

The kernel reads a layer of plain objects without asking us, so nobody can check an object at the moment of its use.
Instead a proof is kept of every object that was checked: the number of its inode, the time of its last change
(`ctime`, which no program can set), and its size. A file that was written to, cut short or replaced since has another
one of these, and is checked again before it is shown. What a proof cannot see is a disk that rots silently.

The book is `.outcrop/layer-proofs` in the cache: records of 48 bytes, only ever appended to, by any number of
processes. The last record of an object holds. A torn one at the end is passed over. Whoever may write to the cache can
forge it, as he can forge the checksums that the cache keeps.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from outcrop.client.cache.bookkeeping import bookkeeping, open_shared
from outcrop.client.layers.objects import PlainObject
from outcrop.cvmfs.digest import Algorithm

BOOK_NAME = b"layer-proofs"
_RECORD = struct.Struct("<20sB3xQQQ")
_ALGORITHMS = tuple(Algorithm)
_FEWEST_TO_REWRITE = 10_000
"""A book with fewer records than this is never written anew, however many of them are outdated."""

_Key = tuple[bytes, int]
Proof = tuple[int, int, int]
"""Inode, ctime in nanoseconds, size in bytes."""


def proof_of(status: os.stat_result) -> Proof:
    """What has to stay as it is."""
    return status.st_ino, status.st_ctime_ns, status.st_size


class ProofBook:
    """The proofs of the cache `root`. Where nothing can be kept, every object has to be checked every time."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._path = b"%b/%b" % (bookkeeping(self._root), BOOK_NAME)
        self._proofs = self._read()

    def holds(self, one: PlainObject, status: os.stat_result) -> bool:
        """Whether the file with `status` is the one that was proved to be `one`."""
        return self._proofs.get(_key(one)) == proof_of(status) and stat.S_ISREG(status.st_mode)

    def add(self, objects: Iterable[PlainObject]) -> None:
        """Notes that these have been verified just now. What is not in the cache is passed over."""
        records = bytearray()
        for one in objects:
            try:
                status = os.lstat(b"%b/%b" % (self._root, one.name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_size == one.size:
                key, proof = _key(one), proof_of(status)
                self._proofs[key] = proof
                records += _RECORD.pack(*key, *proof)
        if records:
            with suppress(OSError):
                descriptor = open_shared(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                try:
                    os.write(descriptor, records)
                finally:
                    os.close(descriptor)

    def _read(self) -> dict[_Key, Proof]:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError:
            return {}
        whole = len(data) - len(data) % _RECORD.size
        proofs = {(raw, kind): (inode, ctime, size) for raw, kind, inode, ctime, size in
                  _RECORD.iter_unpack(memoryview(data)[:whole])}  # fmt: skip
        records = whole // _RECORD.size
        if whole != len(data) or (records > _FEWEST_TO_REWRITE and records > 2 * len(proofs)):
            self._rewrite(proofs)
        return proofs

    def _rewrite(self, proofs: dict[_Key, Proof]) -> None:
        # What another process appends meanwhile may get lost: it is checked once more then.
        temporary = b"%b.%d" % (self._path, os.getpid())
        with suppress(OSError):
            descriptor = open_shared(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(descriptor, "wb") as file:
                file.write(b"".join(_RECORD.pack(*key, *proof) for key, proof in proofs.items()))
            os.rename(temporary, self._path)


def _key(one: PlainObject) -> _Key:
    # The two ways to read one digest are two contents.
    return one.raw, _ALGORITHMS.index(one.algorithm) << 4 | one.compression
