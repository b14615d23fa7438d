"""Encoders of zlib streams. All of them make streams that every client reads; they differ in speed and in size.

libdeflate at level 6 compresses scientific software about three times as fast as zlib at level 6 and slightly smaller.
zlib makes the very bytes, and so the very digests, that the reference publisher makes: for a repository that shares
objects with one published by it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import deflate

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Buffer

Compress = Callable[[Buffer], bytes | bytearray]

LEVEL = 6
"""zlib's own default, and what the reference publisher uses."""
DEFAULT_COMPRESSOR = "libdeflate"


def _libdeflate(data: Buffer) -> bytes | bytearray:
    return deflate.zlib_compress(data, LEVEL)


def _zlib(data: Buffer) -> bytes:
    return zlib.compress(data, LEVEL)


def _plain(data: Buffer) -> bytes:
    return bytes(data)


_COMPRESSORS: dict[str, Compress] = {"libdeflate": _libdeflate, "zlib": _zlib, "none": _plain}


def compressor_names() -> tuple[str, ...]:
    """What `RepositorySettings.compressor` may say."""
    return tuple(_COMPRESSORS)


def compressor(name: str) -> Compress:
    """The encoder for the contents of files."""
    return _COMPRESSORS[name]


def compression_of(name: str) -> Compression:
    """How catalogs mark files that the encoder `name` stored."""
    return Compression.NONE if name == "none" else Compression.ZLIB


def database_compressor(name: str) -> Compress:
    """The encoder for catalogs and other databases, which are always zlib streams."""
    return _COMPRESSORS[DEFAULT_COMPRESSOR if name == "none" else name]
