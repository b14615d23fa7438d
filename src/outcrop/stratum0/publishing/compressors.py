"""How a publisher stores what it publishes: by one of the encoders of `outcrop.cvmfs.encoders`, or as it is."""

from __future__ import annotations

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Buffer
from outcrop.cvmfs.encoders import ENCODERS, Compress

DEFAULT_COMPRESSOR = "libdeflate-2"

_NONE = "none"


def _plain(data: Buffer) -> bytes:
    return bytes(data)


_COMPRESSORS: dict[str, Compress] = {**ENCODERS, _NONE: _plain}


def compressor_names() -> tuple[str, ...]:
    """What `RepositorySettings.compressor` may say."""
    return tuple(_COMPRESSORS)


def compressor(name: str) -> Compress:
    """The encoder for the contents of files."""
    return _COMPRESSORS[name]


def compression_of(name: str) -> Compression:
    """How catalogs mark files that the encoder `name` stored."""
    return Compression.NONE if name == _NONE else Compression.ZLIB


def database_compressor(name: str) -> Compress:
    """The encoder for catalogs and other databases, which are always zlib streams."""
    return _COMPRESSORS[DEFAULT_COMPRESSOR if name == _NONE else name]
