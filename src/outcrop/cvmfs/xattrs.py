"""Extended attributes as catalogs hold them.

A blob: version 1, number of attributes, then for each the length of its key and of its value (a byte each), the key
with its name space, the value. Sorted by key. NULL stands for no attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.errors import FormatError, InvalidValue

BLOB_VERSION = 1
MAXIMUM_ATTRIBUTES = 255
MAXIMUM_KEY_BYTES = 255
MAXIMUM_VALUE_BYTES = 255
"""A length is one byte. (The reference lets 256 through its check, and then writes 0.)"""

_WHAT = "an extended attribute blob"


@dataclass(frozen=True, slots=True)
class Xattrs:
    """Extended attributes, sorted by key."""

    items: tuple[tuple[bytes, bytes], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.items)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, None where there is none."""
        return next((value for name, value in self.items if name == key), None)

    @classmethod
    def of(cls, attributes: Mapping[bytes, bytes]) -> Xattrs:
        """`attributes` as values of the format; InvalidValue for one that does not fit into it."""
        if len(attributes) > MAXIMUM_ATTRIBUTES:
            raise InvalidValue(what=f"{len(attributes)} extended attributes", problem=f"exceed {MAXIMUM_ATTRIBUTES}")
        for key, value in attributes.items():
            if not 0 < len(key) <= MAXIMUM_KEY_BYTES or len(value) > MAXIMUM_VALUE_BYTES:
                raise InvalidValue(
                    what=f"the extended attribute {key[:80]!r}", problem="is longer than 255 bytes, or has no name"
                )
        return cls(tuple(sorted(attributes.items())))

    def encode(self) -> bytes | None:
        """The blob, None when there are no attributes."""
        if not self.items:
            return None
        blob = bytearray((BLOB_VERSION, len(self.items)))
        for key, value in self.items:
            blob += bytes((len(key), len(value))) + key + value
        return bytes(blob)

    @classmethod
    def parse(cls, blob: bytes | None, what: str = _WHAT) -> Xattrs:
        """The attributes in `blob`; FormatError names `what` if it is malformed."""
        if blob is None:
            return NO_XATTRS
        if len(blob) < 2 or blob[0] != BLOB_VERSION:
            raise FormatError(what=what, field="the version", problem="is not 1")
        if blob[1] == 0:
            raise FormatError(what=what, field="the number of attributes", problem="is 0, for which NULL stands")
        items: list[tuple[bytes, bytes]] = []
        position = 2
        for _ in range(blob[1]):
            if position + 2 > len(blob):
                raise FormatError(what=what, field="an attribute's lengths", problem="are cut off")
            key_end = position + 2 + blob[position]
            value_end = key_end + blob[position + 1]
            if value_end > len(blob):
                raise FormatError(what=what, field="an attribute", problem="is cut off")
            key = blob[position + 2 : key_end]
            if not key:
                raise FormatError(what=what, field="an attribute's key", problem="is empty")
            items.append((key, blob[key_end:value_end]))
            position = value_end
        if position != len(blob):
            raise FormatError(what=what, field="its end", problem="is followed by more bytes")
        keys = [key for key, _ in items]
        if len(set(keys)) != len(keys):
            raise FormatError(what=what, field="a key", problem="stands twice")
        return cls(tuple(sorted(items)))


NO_XATTRS = Xattrs()
