"""The order of Debian's version numbers: `[epoch:]upstream[-revision]`.

Two parts are compared by turns: what is no digit, where letters come before everything else and `~` even before the
end, and then digits, as a number. Source: deb-version(7).
"""

from __future__ import annotations

import re
from functools import cache

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")

_DIGITS = re.compile(r"[0-9]+")


@cache
def version_key(version: str) -> tuple[object, ...]:
    """A key by which versions sort as Debian orders them."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return _number(epoch) if _DIGITS.fullmatch(epoch) else _number(""), _key(upstream), _key(revision)


def compare_versions(one: str, other: str) -> int:
    """Below, equal to or above zero where `one` comes before, with or after `other`."""
    first, second = version_key(one), version_key(other)
    return (first > second) - (first < second)


def _key(text: str) -> tuple[object, ...]:
    parts: list[object] = []
    for other, digits in _PARTS.findall(text):
        # The end of a part, as zero, is above `~` and below everything else.
        parts.append((*map(_order, other), 0))
        parts.append(_number(digits))
    return tuple(parts)


def _number(digits: str) -> tuple[int, str]:
    """A key of the number, which may have more digits than Python makes a number of."""
    significant = digits.lstrip("0")
    return len(significant), significant


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
