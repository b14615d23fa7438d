"""How contents are stored: as a zlib stream (RFC 1950) or plain. Catalogs and other databases are always zlib.

Any valid zlib stream is legal; the digest is over the compressed bytes, so another encoder means another object.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

import deflate

from outcrop.errors import FormatError

MAXIMUM_DATABASE_BYTES = 4 * 1024**3
"""A catalog of the reference's limit (500,000 entries) has about 100 MB; a stream that grows past this is a bomb."""


MAXIMUM_EXPANSION = 1032
"""Deflate spends at least two bits on 258 bytes, so no stream holds more than this many times its length."""


class Compression(IntEnum):
    """How a file's bytes are stored; the value is what catalogs write."""

    ZLIB = 0
    NONE = 1


def inflate(data: bytes, *, what: str, limit: int = MAXIMUM_DATABASE_BYTES) -> bytes:
    """The bytes that the zlib stream `data` holds, at most `limit` of them; FormatError otherwise."""
    decompressor = zlib.decompressobj()
    try:
        plain = decompressor.decompress(data, limit + 1)
    except zlib.error as error:
        raise FormatError(what=what, field="the zlib stream", problem=f"is damaged ({error})") from error
    if len(plain) > limit:
        raise FormatError(what=what, field="the zlib stream", problem=f"holds more than {limit} bytes")
    if not decompressor.eof:
        raise FormatError(what=what, field="the zlib stream", problem="is cut off")
    return plain


def inflate_exactly(data: bytes, size: int, *, what: str) -> bytes | bytearray:
    """The `size` bytes that the zlib stream `data` holds; FormatError if it holds fewer or more."""
    if size == 0:
        plain: bytes | bytearray = inflate(data, what=what, limit=1)
    elif size > MAXIMUM_EXPANSION * len(data):
        # Whoever states the size also decides how much memory the decoder would ask for.
        raise FormatError(what=what, field="the zlib stream", problem=f"is too short to hold {size} bytes")
    else:
        try:
            plain = deflate.zlib_decompress(data, size)
        except (deflate.DeflateError, ValueError) as error:
            raise FormatError(
                what=what, field="the zlib stream", problem=f"is damaged or holds more than {size} bytes"
            ) from error
    if len(plain) != size:
        raise FormatError(what=what, field="the zlib stream", problem=f"holds {len(plain)} bytes, not {size}")
    return plain
