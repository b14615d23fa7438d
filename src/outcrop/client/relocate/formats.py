"""What a file is, as far as replacing bytes in it is concerned: by its first bytes, its last ones and its name."""

from __future__ import annotations

import re
from enum import Enum

from outcrop.client.relocate import elf
from outcrop.client.relocate.places import Data


class Format(Enum):
    """Families of files that are treated alike."""

    ELF = "ELF file"
    BYTECODE = "Python bytecode"
    ARCHIVE = "static archive"
    ZIP = "zip archive"
    GZIP = "gzip data"
    BZIP2 = "bzip2 data"
    XZ = "xz data"
    ZSTD = "zstd data"
    TAR = "tar archive"
    DATABASE = "database"
    IMAGE = "file system image"
    PACKAGE = "package"
    HDF5 = "HDF5 file"
    TEXT = "text"
    BINARY = "binary data"

    @property
    def is_compressed(self) -> bool:
        return self in _COMPRESSED

    @property
    def is_sealed(self) -> bool:
        """Whether a changed byte makes the file wrong: there is a checksum, or an order of what it holds."""
        return self in _SEALED


_COMPRESSED = frozenset({Format.GZIP, Format.BZIP2, Format.XZ, Format.ZSTD})
_SEALED = frozenset({Format.TAR, Format.DATABASE, Format.IMAGE, Format.PACKAGE, Format.HDF5})

_FIRST_MAGICS = (
    (elf.MAGIC, Format.ELF),
    (b"!<arch>\ndebian-binary", Format.PACKAGE),
    (b"!<arch>\n", Format.ARCHIVE),
    (b"!<thin>\n", Format.ARCHIVE),
    (b"PK\x03\x04", Format.ZIP),
    (b"PK\x05\x06", Format.ZIP),
    (b"\x1f\x8b", Format.GZIP),
    (b"BZh", Format.BZIP2),
    (b"\xfd7zXZ\0", Format.XZ),
    (b"\x28\xb5\x2f\xfd", Format.ZSTD),
    (b"7z\xbc\xaf\x27\x1c", Format.PACKAGE),
    (b"\xed\xab\xee\xdb", Format.PACKAGE),  # RPM
    (b"SQLite format 3\0", Format.DATABASE),
    (b"\xce\x9a\x57\x13", Format.DATABASE),  # GDBM
    (b"\xcf\x9a\x57\x13", Format.DATABASE),
    (b"hsqs", Format.IMAGE),  # squashfs
    (b"\x89HDF\r\n\x1a\n", Format.HDF5),
)
_LATER_MAGICS = (
    (12, b"\x61\x15\x06\x00", Format.DATABASE),  # Berkeley DB, hash
    (12, b"\x62\x31\x05\x00", Format.DATABASE),  # Berkeley DB, B-tree
    (16, b"\xde\xc0\xef\xbe", Format.DATABASE),  # LMDB
    (32, b"SIF_MAGIC", Format.IMAGE),
    (257, b"ustar", Format.TAR),
    (1024, b"\xe2\xe1\xf5\xe0", Format.IMAGE),  # EROFS
)
_BEGINNINGS = frozenset(magic[:2] for magic, _ in _FIRST_MAGICS)
"""Most files begin otherwise, and this is asked of every file of a tree."""

HEAD_BYTES = 1100
"""How much of the beginning of a file decides; the farthest magic is EROFS's."""

_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL_BYTES = 65_557
"""The record at the end of a zip archive and its longest comment."""
_ZIP_NAMES = (b".zip", b".jar", b".whl", b".egg", b".pyz", b".pex")

_BYTECODE_NAMES = (b".pyc", b".pyo")
_BYTECODE_MAGIC = re.compile(rb"..\r\n", re.DOTALL)

_TEXT_BYTES = bytes([*b"\b\t\n\v\f\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)])
"""Whatever encoding a text has, it has no other control characters."""

_COUNTED_TEXTS = re.compile(rb"\.(?:elc|info(?:-\d+)?|e?ps|pdf)\Z")
"""Texts that hold numbers of bytes to skip: Emacs's bytecode, info pages with their tag tables, PostScript."""

_MANUAL = re.compile(rb"(?:\A|/)(?:man/(?:[^/]+/)?man\w+|info)/[^/]+\Z")

SHEBANG = b"#!"


def format_of(path: bytes, data: Data) -> Format:
    """What `data` is, the contents of the file `path`; text is only told from binary data where it matters (`is_text`),
    so the answer for both is BINARY."""
    head = data[:HEAD_BYTES]
    if head[:2] in _BEGINNINGS:
        for magic, kind in _FIRST_MAGICS:
            if head.startswith(magic):
                return kind
    for offset, magic, kind in _LATER_MAGICS:
        if head.startswith(magic, offset):
            return kind
    if path.endswith(_BYTECODE_NAMES) and _BYTECODE_MAGIC.match(head):
        return Format.BYTECODE
    if (head.startswith(SHEBANG) or path.endswith(_ZIP_NAMES)) and _has_zip_end(data):
        return Format.ZIP
    return Format.BINARY


def _has_zip_end(data: Data) -> bool:
    return data.rfind(_ZIP_END, max(0, len(data) - _ZIP_TAIL_BYTES)) >= 0


def is_text(data: Data) -> bool:
    """Whether `data` reads as text from its first byte to its last."""
    return data.find(b"\0") < 0 and not data[:].translate(None, _TEXT_BYTES)


def counts_bytes(path: bytes) -> bool:
    """Whether the text file `path` holds numbers of bytes, so that its length must stay."""
    return _COUNTED_TEXTS.search(path) is not None


def is_manual(path: bytes) -> bool:
    """Whether `path` is a page of a manual: only people read those."""
    return _MANUAL.search(path) is not None
