"""Many records of READDIRPLUS at once: columns in, one run of bytes out.

A record is the reply that LOOKUP would give, the directory entry, the name, and padding to 8 bytes; `protocol` has the
fields. To pack them one by one costs more than everything else that is done to a catalog's rows, so it is done by
columns here. `protocol.directory_record` makes the same bytes for one entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from outcrop.client.mount import protocol

Integers = npt.NDArray[np.int64]

_HEAD = np.dtype([
    ("node", "=u8"), ("generation", "=u8"), ("entry_valid", "=u8"), ("attributes_valid", "=u8"),
    ("entry_valid_ns", "=u4"), ("attributes_valid_ns", "=u4"),
    ("inode", "=u8"), ("size", "=u8"), ("blocks", "=u8"), ("atime", "=u8"), ("mtime", "=u8"), ("ctime", "=u8"),
    ("atime_ns", "=u4"), ("mtime_ns", "=u4"), ("ctime_ns", "=u4"), ("mode", "=u4"), ("links", "=u4"), ("uid", "=u4"),
    ("gid", "=u4"), ("device", "=u4"), ("block_bytes", "=u4"), ("flags", "=u4"),
    ("listed_inode", "=u8"), ("cookie", "=u8"), ("name_bytes", "=u4"), ("kind", "=u4"),
])  # fmt: skip
_WORD = np.dtype(np.uint64)
_HEAD_WORDS = _HEAD.itemsize // _WORD.itemsize
assert _HEAD.itemsize == protocol.DIRENTPLUS.size
assert _WORD.itemsize == protocol.RECORD_ALIGNMENT

_PADDING = tuple(bytes(-length % _WORD.itemsize) for length in range(_WORD.itemsize))
_FILE_TYPE_SHIFT = 12


@dataclass(slots=True)
class Columns:
    """The attributes of some entries, one value of each for every entry. Times in seconds and nanoseconds, sizes in
    bytes, `device` as the kernel's 32-bit number. `cookie` is where a listing goes on behind the entry."""

    node: Integers
    cookie: Integers
    mode: Integers
    size: Integers
    mtime: Integers
    mtime_ns: Integers
    links: Integers
    uid: Integers
    gid: Integers
    device: Integers


@dataclass(frozen=True, slots=True)
class Run:
    """Records one after the other, and where each of them begins; the last of `offsets` is the end."""

    data: bytes
    offsets: Integers


def pack_records(columns: Columns, names: Sequence[bytes]) -> Run:
    """The records of entries with these attributes and `names`, in their order."""
    count = len(names)
    name_bytes = np.fromiter(map(len, names), np.int64, count)
    heads = _heads(columns, name_bytes).view(_WORD).reshape(count, _HEAD_WORDS)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum((name_bytes + (_WORD.itemsize - 1)) // _WORD.itemsize + _HEAD_WORDS, out=offsets[1:])
    places = offsets[:-1, np.newaxis] + np.arange(_HEAD_WORDS)
    run = np.empty(offsets[-1], _WORD)
    run[places] = heads
    is_name = np.ones(len(run), np.bool_)
    is_name[places] = False
    padding = map(_PADDING.__getitem__, (name_bytes % _WORD.itemsize).tolist())
    run[is_name] = np.frombuffer(b"".join(chain.from_iterable(zip(names, padding, strict=True))), _WORD)
    return Run(run.tobytes(), offsets * _WORD.itemsize)


def _heads(columns: Columns, name_bytes: Integers) -> npt.NDArray[Any]:
    """What stands in front of the names."""
    heads = np.zeros(len(name_bytes), _HEAD)
    heads["entry_valid"] = heads["attributes_valid"] = protocol.LONGEST
    heads["block_bytes"] = protocol.IO_BLOCK_BYTES
    for field in ("node", "inode", "listed_inode"):
        heads[field] = columns.node
    for field in ("atime", "mtime", "ctime"):
        heads[field] = columns.mtime
    for field in ("atime_ns", "mtime_ns", "ctime_ns"):
        heads[field] = columns.mtime_ns
    heads["size"] = columns.size
    # Sizes reach up to 2**63 - 1: adding before dividing would not fit.
    heads["blocks"] = columns.size // protocol.BLOCK_BYTES + (columns.size % protocol.BLOCK_BYTES > 0)
    heads["mode"], heads["kind"] = columns.mode, columns.mode >> _FILE_TYPE_SHIFT
    heads["links"], heads["uid"], heads["gid"] = columns.links, columns.uid, columns.gid
    heads["device"] = columns.device
    heads["cookie"], heads["name_bytes"] = columns.cookie, name_bytes
    return heads
