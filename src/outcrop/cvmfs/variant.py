"""Variant symlinks: targets with `$(NAME)` or `$(NAME:-default)`, filled in by each client from its own settings.

A name that is not set gives its default, or nothing. A `$(` that is never closed stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping


def is_variant(target: bytes) -> bool:
    """Whether `target` asks for anything to be filled in."""
    start = target.find(b"$(")
    return start >= 0 and target.find(b")", start) >= 0


def expand(target: bytes, settings: Mapping[bytes, bytes]) -> bytes:
    """`target` with everything filled in that it asks for."""
    result = bytearray()
    position = 0
    while True:
        start = target.find(b"$(", position)
        end = target.find(b")", start) if start >= 0 else -1
        if end < 0:
            return bytes(result + target[position:])
        result += target[position:start]
        name, separator, default = target[start + 2 : end].partition(b":-")
        result += settings.get(name, default if separator else b"")
        position = end + 1
