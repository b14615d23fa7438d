"""The FUSE protocol between the kernel and a file system in user space, without I/O.

The rules, for the part that a read-only file system needs:

- Messages are structures in the machine's own byte order, without padding beyond what is named here. A request is
  a header of 40 bytes (length, opcode, unique, node, uid, gid, pid, …) and a body; a reply is a header of 16 bytes
  (length, negative errno or 0, the request's unique) and, without an error, a body.
- The first request is INIT. Both sides name the version they speak; the lower minor version holds. If the kernel
  speaks a higher major version, we answer with ours and it asks again. Flags of INIT hold when both sides name them.
- The kernel names files by *node*, 64-bit numbers that replies to LOOKUP and READDIRPLUS introduce. Node 1 is the
  root. A node must stay good until the kernel forgets it. LOOKUP answered with node 0 says: no such name.
- Replies that carry attributes say for how long the kernel may keep the name and the attributes.
- Directory entries are records padded to 8 bytes. Each has a cookie: where a later call goes on behind it.
- What the kernel keeps can be taken back by notices, which are replies to no request. Taking back a name waits for
  look-ups and listings of that directory which are under way, so afterwards none of them can bring back the old state.
- FORGET, BATCH_FORGET and INTERRUPT have no reply. Opcodes that we do not know are answered with ENOSYS, which the
  kernel remembers for most of them. ENOSYS to OPEN and OPENDIR means: there are no handles, open needs no message,
  and what the kernel has cached of the file or directory stays good.

Source: the Linux kernel's user-space interface, `linux/fuse.h`, protocol 7.38, and `Documentation/filesystems/fuse`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from outcrop.errors import FormatError

MAJOR_VERSION = 7
MINOR_VERSION = 38
OLDEST_MINOR_VERSION = 23
"""INIT's reply has its present length since 7.23 (Linux 3.15)."""

ROOT_NODE = 1
NO_NODE = 0
MINIMUM_BUFFER_BYTES = 8192
"""The kernel refuses to hand a request to a reader with a smaller buffer."""
RECORD_ALIGNMENT = 8
DEVICE_CLONE_IOCTL = 0x8004E500
"""FUSE_DEV_IOC_CLONE: makes a freshly opened /dev/fuse a second channel of the same mount."""


class Opcode(IntEnum):
    """What a request asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    COPY_FILE_RANGE = 47
    TMPFILE = 51


class Notice(IntEnum):
    """What a file system tells the kernel unasked: a reply to the request 0, with the code in place of the errno."""

    INVALIDATE_INODE = 2
    INVALIDATE_ENTRY = 3


class InitFlag(IntFlag):
    """What kernel and file system agree on in INIT."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25


_ATTRIBUTES = "6Q10I"
_DIRENT = "QQII"
_ENTRY = "4Q2I"
IN_HEADER = struct.Struct("=IIQQIIIHH")
OUT_HEADER = struct.Struct("=IiQ")
INIT_IN = struct.Struct("=IIII")
INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")
ENTRY_OUT = struct.Struct(f"={_ENTRY}{_ATTRIBUTES}")
ATTR_OUT_HEAD = struct.Struct("=QII")
DIRENT = struct.Struct(f"={_DIRENT}")
DIRENTPLUS = struct.Struct(f"={_ENTRY}{_ATTRIBUTES}{_DIRENT}")
READ_IN = struct.Struct("=QQIIQII")
"""Handle, offset, size, read flags, lock owner, flags, padding; READDIR and READDIRPLUS use it too."""
GETXATTR_IN = struct.Struct("=II")
GETXATTR_OUT = struct.Struct("=II")
INTERRUPT_IN = struct.Struct("=Q")
OPEN_OUT = struct.Struct("=QII")
FORGET_IN = struct.Struct("=Q")
BATCH_FORGET_IN = struct.Struct("=II")
FORGET_ONE = struct.Struct("=QQ")
NOTIFY_INODE_OUT = struct.Struct("=Qqq")
NOTIFY_ENTRY_OUT = struct.Struct("=QII")
STATFS_OUT = struct.Struct("=5Q4I24x")

ATTRIBUTES_OFFSET = struct.calcsize(f"={_ENTRY}")
"""Where the attributes begin within an entry's reply."""
DIRENT_OFFSET = ENTRY_OUT.size
NAME_OFFSET = DIRENTPLUS.size
"""Where the name begins within a record of READDIRPLUS."""

LONGEST = 10 * 365 * 86400
"""Seconds that the kernel may keep names and attributes: as good as for ever, and no overflow in any kernel."""
ATTR_OUT_PREFIX = ATTR_OUT_HEAD.pack(LONGEST, 0, 0)
NEGATIVE_ENTRY = ENTRY_OUT.pack(NO_NODE, 0, LONGEST, 0, 0, 0, *(0,) * 16)
"""The reply to LOOKUP that lets the kernel remember that there is no such name."""

_KEEP_CACHE, _CACHE_DIRECTORY = 1 << 1, 1 << 3
OPENED = OPEN_OUT.pack(0, _KEEP_CACHE | _CACHE_DIRECTORY, 0)
"""The reply to OPEN and OPENDIR for kernels that insist on one: no handle, and what is cached stays good."""

_DOT_RECORD = struct.Struct(f"={ENTRY_OUT.size}x{_DIRENT}{RECORD_ALIGNMENT}s")
_UINT64 = 2**64 - 1
BLOCK_BYTES = 512
IO_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """A request's header. `pid` is 0 for requests that the kernel sends by itself."""

    length: int
    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> RequestHeader:
        """The header at the beginning of `data`; FormatError when it is cut off."""
        if len(data) < IN_HEADER.size:
            raise FormatError(what="a FUSE request", field="the header", problem="is cut off")
        return cls(*IN_HEADER.unpack_from(data)[:7])


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What the kernel offers. `readahead` is in bytes."""

    major: int
    minor: int
    readahead: int
    flags: InitFlag

    @classmethod
    def parse(cls, body: bytes | bytearray | memoryview) -> InitRequest:
        """The offer in the body of INIT; FormatError when it is cut off or older than Linux 3.15."""
        if len(body) < INIT_IN.size:
            raise FormatError(what="the FUSE request INIT", field="its body", problem="is cut off")
        major, minor, readahead, flags = INIT_IN.unpack_from(body)
        if major < MAJOR_VERSION or (major == MAJOR_VERSION and minor < OLDEST_MINOR_VERSION):
            raise FormatError(
                what="the FUSE request INIT",
                field="the protocol version",
                problem=f"is {major}.{minor}, older than {MAJOR_VERSION}.{OLDEST_MINOR_VERSION}",
            )
        return cls(major, minor, readahead, InitFlag(flags & sum(InitFlag)))


WANTED_FLAGS = (
    InitFlag.ASYNC_READ
    | InitFlag.EXPORT_SUPPORT
    | InitFlag.DO_READDIRPLUS
    | InitFlag.NO_OPEN_SUPPORT
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.ABORT_ERROR
    | InitFlag.MAX_PAGES
    | InitFlag.CACHE_SYMLINKS
    | InitFlag.NO_OPENDIR_SUPPORT
    | InitFlag.EXPLICIT_INVAL_DATA
)
"""All that keeps requests away from us. READDIRPLUS_AUTO stays off: a directory that is listed is nearly always
looked at next, and the attributes cost us nothing since the records are kept ready."""

MAXIMUM_READ_BYTES = 1 << 20
"""The most that one READ asks for: the largest that the kernel grants without raising `fs.fuse.max_pages_limit`."""
_PAGE_BYTES = 4096
_MAXIMUM_WRITE_BYTES = 4096
"""The smallest that the kernel takes: nobody writes."""
MAXIMUM_BACKGROUND = 64
"""Read-ahead requests that may be on their way at once (the kernel's own limit is 12)."""


def init_reply(offer: InitRequest) -> bytes:
    """The body of the answer to INIT: the version, and the flags that both sides want."""
    if offer.major > MAJOR_VERSION:
        return INIT_OUT.pack(MAJOR_VERSION, MINOR_VERSION, *(0,) * 9)
    return INIT_OUT.pack(
        MAJOR_VERSION,
        MINOR_VERSION,
        max(offer.readahead, MAXIMUM_READ_BYTES),
        offer.flags & WANTED_FLAGS,
        MAXIMUM_BACKGROUND,
        MAXIMUM_BACKGROUND * 3 // 4,
        _MAXIMUM_WRITE_BYTES,
        1,
        MAXIMUM_READ_BYTES // _PAGE_BYTES,
        0,
        0,
    )


def reply_header(unique: int, body_bytes: int) -> bytes:
    """The header in front of a reply's body."""
    return OUT_HEADER.pack(OUT_HEADER.size + body_bytes, 0, unique)


def refusal(unique: int, errno: int) -> bytes:
    """A whole reply that says `errno`."""
    return OUT_HEADER.pack(OUT_HEADER.size, -errno, unique)


def forget_name(directory: int, name: bytes) -> bytes:
    """The notice that lets the kernel forget what `name` in `directory` is, or that there is no such name."""
    return _notice(Notice.INVALIDATE_ENTRY, NOTIFY_ENTRY_OUT.pack(directory, len(name), 0) + name + b"\0")


def forget_content(node: int) -> bytes:
    """The notice that lets the kernel forget the attributes and the content of `node`, a directory's listing too."""
    return _notice(Notice.INVALIDATE_INODE, NOTIFY_INODE_OUT.pack(node, 0, 0))


def forget_attributes(node: int) -> bytes:
    """The notice that lets the kernel forget the attributes of `node`."""
    return _notice(Notice.INVALIDATE_INODE, NOTIFY_INODE_OUT.pack(node, -1, 0))


def _notice(code: Notice, body: bytes) -> bytes:
    return OUT_HEADER.pack(OUT_HEADER.size + len(body), code, 0) + body


def forgotten_nodes(opcode: int, node: int, body: bytes | bytearray | memoryview) -> list[int]:
    """The nodes that FORGET or BATCH_FORGET names."""
    if opcode == Opcode.FORGET:
        return [node]
    (count, _) = BATCH_FORGET_IN.unpack_from(body)
    available = (len(body) - BATCH_FORGET_IN.size) // FORGET_ONE.size
    end = BATCH_FORGET_IN.size + min(count, available) * FORGET_ONE.size
    return [one for one, _ in FORGET_ONE.iter_unpack(body[BATCH_FORGET_IN.size : end])]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` shows, apart from the inode number. Times in seconds and nanoseconds, `size` in bytes, `device` as
    the kernel's 32-bit number of character and block devices."""

    mode: int
    size: int = 0
    mtime: int = 0
    mtime_ns: int = 0
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    device: int = 0


def device_number(major: int, minor: int) -> int:
    """A device's number in the kernel's 32-bit form."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def directory_record(node: int, attributes: Attributes, name: bytes, cookie: int) -> bytes:
    """One record of READDIRPLUS: the reply that LOOKUP would give, the directory entry, and padding.

    Its first `ENTRY_OUT.size` bytes are the body of the reply to LOOKUP.
    """
    mode, size, mtime, mtime_ns = attributes.mode, attributes.size, attributes.mtime & _UINT64, attributes.mtime_ns
    head = DIRENTPLUS.pack(
        node, 0, LONGEST, LONGEST, 0, 0,
        node, size, -(-size // BLOCK_BYTES), mtime, mtime, mtime, mtime_ns, mtime_ns, mtime_ns,
        mode, attributes.nlink, attributes.uid, attributes.gid, attributes.device, IO_BLOCK_BYTES, 0,
        node, cookie, len(name), mode >> 12,
    )  # fmt: skip
    return head + name + bytes(-len(name) % RECORD_ALIGNMENT)


def dot_record(node: int, mode: int, name: bytes, cookie: int) -> bytes:
    """The record of READDIRPLUS for `.` or `..`, which the kernel must not take for a look-up."""
    return _DOT_RECORD.pack(node, cookie, len(name), mode >> 12, name)


def plain_record(record: bytes) -> bytes:
    """The record of READDIR that says what one `record` of READDIRPLUS says."""
    return record[DIRENT_OFFSET:]


def attributes_reply(entry: bytes) -> bytes:
    """The body of the answer to GETATTR, from the body of the answer to LOOKUP."""
    return ATTR_OUT_PREFIX + entry[ATTRIBUTES_OFFSET : ENTRY_OUT.size]


@dataclass(frozen=True, slots=True)
class Room:
    """What `statfs` shows: the bytes of all files, and how many entries there are."""

    file_bytes: int
    entries: int


def statfs_reply(room: Room) -> bytes:
    """The body of the answer to STATFS: everything is used, nothing is free."""
    blocks = -(-room.file_bytes // IO_BLOCK_BYTES)
    return STATFS_OUT.pack(blocks, 0, 0, room.entries, 0, IO_BLOCK_BYTES, 255, IO_BLOCK_BYTES, 0)


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A record of READDIRPLUS, read back."""

    node: int
    inode: int
    cookie: int
    mode: int
    name: bytes


def parse_records(data: bytes) -> Iterator[DirectoryRecord]:
    """The records of READDIRPLUS in `data`."""
    position = 0
    while position < len(data):
        fields = DIRENTPLUS.unpack_from(data, position)
        node, mode, (inode, cookie, length) = fields[0], fields[15], fields[22:25]
        start = position + NAME_OFFSET
        yield DirectoryRecord(node, inode, cookie, mode, data[start : start + length])
        position = start + length + -length % RECORD_ALIGNMENT
