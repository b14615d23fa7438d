"""Where a prefix stands in bytes, as a path of its own.

Behind it nothing may follow that would make it another name: `/cvmfs/repository` is not in `/cvmfs/repository-other`.
Before it no path may end: `http://server:8000/cvmfs/repository` and `$ROOT/cvmfs/repository` name something else. In
text a word before it is a path's end too, except for options (`-L/cvmfs/…`) and escapes (`\\n/cvmfs/…`). In binary data
a word may be the end of another string, or bytes that count, so it takes a sign of a path before the word.

`marshal` strings, of which bytecode is made, say where they begin (CPython's `Python/marshal.c`).
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from enum import Enum

Data = bytes | mmap.mmap
"""A whole file."""


class Context(Enum):
    """What kind of bytes a prefix is looked for in."""

    TEXT = "text"
    BINARY = "binary"
    BYTECODE = "bytecode"


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The offsets at which the prefix is a path of its own, and how often it was part of something longer before it."""

    places: tuple[int, ...]
    inner: int


_LOOK_BACK = 256
"""Longer names before a prefix are no names (NAME_MAX is 255)."""

_NAME = rb"A-Za-z0-9_+~@\-"
_CONTINUES = re.compile(rb"[" + _NAME + rb"]|\.[A-Za-z0-9_-]")
_WORD = re.compile(rb"[" + _NAME + rb".]+\Z")
_VARIABLE = re.compile(rb"(?:[$%]\([^()\s]*\)s?|\{[^{}\s]*\}|\}\}|\$\w+|@\w+@|%\w+%|~\w*)\Z", re.ASCII)
"""The end of a variable, as shells, make, CMake, autoconf, Python and Jinja write it, or a home directory."""
_OPTION = re.compile(rb"--?[A-Za-z]+")
_ESCAPE = re.compile(rb"(?:\\[abefnrtv0]|\\x[0-9a-fA-F]{2}|\\0[0-7]{2}|\[[0-9;]*m)\Z")
"""The end of an escape sequence of strings in most languages, or of a colour."""
_LONGER_PATH = frozenset(b"/:")

_FIRST_PRINTABLE = 0x20
_SHORT_STRINGS = frozenset(b"zZ")
_LONG_STRINGS = frozenset(b"sutaA")
_FLAG_REF = 0x80
_SHORT_HEADER = 2
_LONG_HEADER = 5


def find_places(data: Data, needle: bytes, context: Context) -> Occurrences:
    """Where the prefix `needle` stands in `data`."""
    places: list[int] = []
    inner = 0
    position = data.find(needle)
    while position >= 0:
        end = position + len(needle)
        length = _string_length(data, position, len(needle)) if context is Context.BYTECODE else 0
        if length == len(needle) or not _CONTINUES.match(data[end : end + 2]):
            if (
                length
                or _begins(data[max(0, position - _LOOK_BACK) : position], context)
                or (context is Context.BYTECODE and _begins_in_string(data, position, end))
            ):
                places.append(position)
            else:
                inner += 1
        position = data.find(needle, end)
    return Occurrences(tuple(places), inner)


def _begins(before: bytes, context: Context) -> bool:
    """Whether a path can begin after the bytes `before`."""
    if not before or _ESCAPE.search(before):
        return True
    if before.endswith(b"/"):
        # `file://` may stand before a path; so may one slash too many, but not the end of another path.
        return before.endswith(b"://") or not re.search(rb"[" + _NAME + rb".:/})]/\Z", before)
    if _VARIABLE.search(before):
        return False
    word = _WORD.search(before)
    if word is None or (_OPTION.fullmatch(word.group()) is not None):
        return True
    if context is not Context.BINARY:
        return False
    return word.start() == 0 or before[word.start() - 1] not in _LONGER_PATH


def _begins_in_string(data: Data, position: int, end: int) -> bool:
    """Whether the path at `position` begins after what stands before it in its own marshalled string."""
    for start in range(position - 1, max(0, position - _LOOK_BACK), -1):
        if data[start] < _FIRST_PRINTABLE:
            return False
        if _string_length(data, start, end - start):
            return _begins(data[start:position], Context.TEXT)
    return False


def _string_length(data: Data, position: int, minimum: int) -> int:
    """The length of the marshalled string that begins at `position`; 0 if none of at least `minimum` bytes does."""
    length = 0
    if position >= _SHORT_HEADER and data[position - _SHORT_HEADER] & ~_FLAG_REF in _SHORT_STRINGS:
        length = data[position - 1]
    elif position >= _LONG_HEADER and data[position - _LONG_HEADER] & ~_FLAG_REF in _LONG_STRINGS:
        length = int.from_bytes(data[position - 4 : position], "little", signed=True)
    return length if minimum <= length <= len(data) - position else 0
