"""Advisories from a file or an address, compressed or not."""

from __future__ import annotations

import bz2
import lzma
import zlib
from pathlib import Path

import zstandard

from outcrop.compat.audit.advisories import Advisories, parse_advisories
from outcrop.errors import FormatError, NotFound, storage_error
from outcrop.software.sources.download import Fetcher

_GZIP = 31
_SCHEMES = ("http://", "https://")


def read_advisories(place: str, fetcher: Fetcher) -> Advisories:
    """What `place`, a path or an address, says. NotFound, NetworkError, StorageError, FormatError."""
    if place.startswith(_SCHEMES):
        data = fetcher.read(place)
    else:
        try:
            data = Path(place).read_bytes()
        except FileNotFoundError:
            raise NotFound(what=place, hint="give the tracker's file `data/json`, or its address") from None
        except OSError as error:
            raise storage_error(error, place) from error
    return parse_advisories(unpacked(data, place), place)


def unpacked(data: bytes, what: str) -> bytes:
    """`data` without compression, whatever it is compressed by. FormatError."""
    try:
        if data.startswith(b"\x1f\x8b"):
            return zlib.decompress(data, wbits=_GZIP)
        if data.startswith(b"\xfd7zXZ"):
            return lzma.decompress(data)
        if data.startswith(b"BZh"):
            return bz2.decompress(data)
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, zstandard.ZstdError) as error:
        raise FormatError(what=what, field="the compressed data", problem=f"cannot be unpacked ({error})") from error
    return data
