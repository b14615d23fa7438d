"""What a terminal can and should be shown: colours, safe text, and how wide it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

# C0 and C1 controls, DEL, and the characters that turn the direction of writing: a name that a stranger chose must not
# move the cursor, recolour the screen or read as another name. Tab and newline are left to the caller.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_COLOURS = re.compile("\x1b\\[[0-9;]*m")


class Style(Enum):
    """What a colour means, as the parameters of SGR (ECMA-48, section 8.3.117)."""

    ERROR = "1;31"
    WARNING = "33"
    HEADING = "1"
    ACCENT = "36"
    COMMENT = "2"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody watches `stream`; a closed stream is no terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def wants_colour(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Whether text for `stream` is coloured: NO_COLOR (no-color.org) beats FORCE_COLOR, which beats the terminal."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and environment.get("TERM") != "dumb"


def painted(text: str, style: Style) -> str:
    """`text` in the colour of `style`."""
    return f"\x1b[{style.value}m{text}\x1b[0m"


def uncoloured(text: str) -> str:
    """`text` without the colours of `painted`."""
    return _COLOURS.sub("", text)


def printable(text: str) -> str:
    """`text` with everything that a terminal would obey written as an escape, as in `\\x1b`."""
    return _UNPRINTABLE.sub(_escaped, text)


def one_line(text: str) -> str:
    """`text` as a cell of a table can hold it."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
