r"""Headers of a tar archive in the POSIX format (pax), by nothing but the entry: no host, user or clock is in them.

A header is a block of 512 bytes ("ustar"): numbers in octal digits, a name of up to 100 bytes. What does not fit stands
before it in an extended header, whose records are `length keyword=value\n`. Rules beside POSIX's that readers know:

- `SCHILY.xattr.NAME` has an extended attribute's value; in NAME, `=` is `%3D`, and `%` is `%25` where it could be
  mistaken, as GNU tar writes it.
- `hdrcharset=BINARY` says that names are not UTF-8.
- `mtime` has a fraction where the time is not a whole second, and may be negative.

Sources: POSIX.1-2017 pax(1), tar(5) of libarchive, GNU tar's manual.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from outcrop.cvmfs.entry import NANOSECONDS, Entry, EntryKind

BLOCK_BYTES = 512
RECORD_BYTES = 20 * BLOCK_BYTES
"""An archive ends at a multiple of this, which is what tape drives wrote at once and readers still expect."""

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_CHECKSUM_OFFSET, _CHECKSUM_BYTES = 148, 8
_NAME_BYTES = 100
_MAXIMUM_SMALL = 8**7 - 1
_MAXIMUM_LARGE = 8**11 - 1
"""Seven octal digits for owners and devices, eleven for sizes and times."""

_EXTENDED_NAME = b"PaxHeaders/"
_TYPES = {
    EntryKind.FILE: b"0",
    EntryKind.SYMLINK: b"2",
    EntryKind.CHARACTER_DEVICE: b"3",
    EntryKind.BLOCK_DEVICE: b"4",
    EntryKind.DIRECTORY: b"5",
    EntryKind.FIFO: b"6",
}
_HARD_LINK, _EXTENDED = b"1", b"x"


@dataclass(frozen=True, slots=True)
class TarMember:
    """An entry of an archive: `name` without a slash at either end (`.` for the root), or another name of the member
    `same_file_as`."""

    name: bytes
    entry: Entry
    same_file_as: bytes | None = None


def can_hold(kind: EntryKind) -> bool:
    """Whether an archive can have an entry of this kind: all but sockets."""
    return kind in _TYPES


def header(member: TarMember) -> bytes:
    """Everything that stands in an archive before the bytes of `member`."""
    entry = member.entry
    is_link = member.same_file_as is not None
    name = member.name + b"/" if entry.is_directory else member.name
    target = member.same_file_as or entry.symlink
    size = entry.size if entry.is_file and not is_link else 0
    # Times of links to files are those of the file, which stands before them.
    records: dict[bytes, bytes] = {}
    if not _fits(name):
        records[b"path"] = name
    if not _fits(target):
        records[b"linkpath"] = target
    if size > _MAXIMUM_LARGE:
        records[b"size"] = b"%d" % size
    if entry.mtime_ns or not 0 <= entry.mtime <= _MAXIMUM_LARGE:
        records[b"mtime"] = _time(entry)
    for keyword, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if number > _MAXIMUM_SMALL:
            records[keyword] = b"%d" % number
    if not is_link:
        for key, value in entry.xattrs:
            records[b"SCHILY.xattr." + _attribute_name(key)] = value
    plain = _block(
        name, entry.permissions, entry.uid, entry.gid, size, entry.mtime,
        _HARD_LINK if is_link else _TYPES[entry.kind], target, entry.size if entry.kind.is_device else None,
    )  # fmt: skip
    return _extended(records, entry.mtime) + plain


def padding(size: int) -> bytes:
    """What follows `size` bytes up to the next block."""
    return bytes(-size % BLOCK_BYTES)


def ending(size: int) -> bytes:
    """What ends an archive of `size` bytes: two empty blocks, and more up to a whole record."""
    return bytes(2 * BLOCK_BYTES + -(size + 2 * BLOCK_BYTES) % RECORD_BYTES)


def _fits(text: bytes) -> bool:
    return len(text) <= _NAME_BYTES and text.isascii()


def _time(entry: Entry) -> bytes:
    nanoseconds = entry.mtime * NANOSECONDS + (entry.mtime_ns or 0)
    whole, fraction = divmod(abs(nanoseconds), NANOSECONDS)
    digits = b"%s%d" % (b"-" if nanoseconds < 0 else b"", whole)
    return digits + (b".%09d" % fraction if fraction else b"")


def _attribute_name(key: bytes) -> bytes:
    if b"=" in key or b"%25" in key or b"%3D" in key:
        return key.replace(b"%", b"%25").replace(b"=", b"%3D")
    return key


def _extended(records: dict[bytes, bytes], mtime: int) -> bytes:
    if not records:
        return b""
    texts = (records.get(b"path", b""), records.get(b"linkpath", b""))
    if not all(_is_utf8(text) for text in texts):
        records = {b"hdrcharset": b"BINARY", **records}
    data = b"".join(_record(keyword, value) for keyword, value in records.items())
    block = _block(_EXTENDED_NAME, 0o644, 0, 0, len(data), mtime, _EXTENDED, b"", None)
    return block + data + padding(len(data))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(keyword: bytes, value: bytes) -> bytes:
    """A record, whose length counts its own digits, too."""
    rest = b" %s=%s\n" % (keyword, value)
    length = len(rest) + len(str(len(rest)))
    if len(rest) + len(str(length)) != length:
        length += 1
    return b"%d%s" % (length, rest)


def _block(
    name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, kind: bytes, target: bytes, device: int | None
) -> bytes:
    """A header block. What does not fit is cut off or 0 here, and stands in the extended header."""
    major, minor = (os.major(device), os.minor(device)) if device is not None else (0, 0)
    fields = (
        _short(name), _octal(mode, 7), _octal(uid, 7), _octal(gid, 7), _octal(size, 11), _octal(mtime, 11),
        b" " * _CHECKSUM_BYTES, kind, _short(target), b"ustar\x0000", b"", b"", _octal(major, 7), _octal(minor, 7), b"",
    )  # fmt: skip
    block = bytearray(_HEADER.pack(*fields))
    block[_CHECKSUM_OFFSET : _CHECKSUM_OFFSET + _CHECKSUM_BYTES] = b"%06o\0 " % sum(block)
    return bytes(block)


def _short(text: bytes) -> bytes:
    """`text` in ASCII, at most 100 bytes of it, for readers that know no extended headers."""
    return bytes(byte if byte < 0x80 else ord("_") for byte in text[:_NAME_BYTES])


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o" % (digits, number if 0 <= number < 8**digits else 0)
