"""The order of Gentoo's versions: `5.2_p37` is newer than `5.2`, `2.40-r5` than `2.40`, `1.0_rc1` older than `1.0`.

Source: Gentoo's package manager specification, section 3.3 ("Version comparison").
"""

from __future__ import annotations

import re
from itertools import zip_longest

_VERSION = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_(?:alpha|beta|pre|rc|p)\d*)*)(?:-r(?P<revision>\d+))?"
)
_SUFFIX = re.compile(r"_(alpha|beta|pre|rc|p)(\d*)")
_RANKS = {"alpha": 0, "beta": 1, "pre": 2, "rc": 3, "": 4, "p": 5}
"""Where a version without a suffix stands among those with one."""


def is_version(text: str) -> bool:
    """Whether `text` is a version with which others compare; those of live sources are not."""
    match = _VERSION.fullmatch(text)
    return match is not None and match["numbers"] != "9999"


def compare_versions(one: str, other: str) -> int:
    """Below zero where `one` is older than `other`, zero where they are equal. ValueError for what is no version."""
    first, second = _VERSION.fullmatch(one), _VERSION.fullmatch(other)
    if first is None or second is None:
        raise ValueError(f"{one} or {other} is no version of Gentoo's")
    for order in (
        _order_of_numbers(first["numbers"].split("."), second["numbers"].split(".")),
        _order(first["letter"], second["letter"]),
        _order_of_suffixes(first["suffixes"], second["suffixes"]),
    ):
        if order:
            return order
    return _order(int(first["revision"] or 0), int(second["revision"] or 0))


def _order(one: int | str, other: int | str) -> int:
    return (one > other) - (one < other)  # type: ignore[operator]


def _order_of_numbers(one: list[str], other: list[str]) -> int:
    if order := _order(int(one[0]), int(other[0])):
        return order
    for first, second in zip(one[1:], other[1:], strict=False):
        if first.startswith("0") or second.startswith("0"):
            order = _order(first.rstrip("0"), second.rstrip("0"))
        else:
            order = _order(int(first), int(second))
        if order:
            return order
    return _order(len(one), len(other))


def _order_of_suffixes(one: str, other: str) -> int:
    for first, second in zip_longest(_SUFFIX.findall(one), _SUFFIX.findall(other), fillvalue=("", "")):
        if order := _order(_RANKS[first[0]], _RANKS[second[0]]) or _order(int(first[1] or 0), int(second[1] or 0)):
            return order
    return 0
