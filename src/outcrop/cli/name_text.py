"""Names of entries as lines of an answer: untouched for programs, and on a terminal as GNU `ls` writes them.

A name may hold a newline, and then one entry would look like two. Where somebody watches, a name with control
characters is written as a word that a shell reads back: `'two'$'\\n''lines'`. Everything else goes as it is.

Source: the quoting style `shell-escape` of GNU coreutils (Quoting Style in its manual).
"""

from __future__ import annotations

import re
import sys

from outcrop.cli.terminal import is_terminal

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")
"""What is escaped where a name has to be quoted at all: bytes that are not UTF-8, too."""

_SHORT = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


def listed(name: str) -> str:
    """`name`, a name or path, for a line of standard output."""
    return shell_escaped(name) if _CONTROL.search(name) and is_terminal(sys.stdout) else name


def shell_escaped(name: str) -> str:
    """`name` as a word in quotes, with everything that cannot be seen as an escape."""
    word, in_escapes = "'", False
    for character in name:
        if _UNSEEN.match(character):
            # Quotes end, and `$'` begins those in which a shell knows escapes.
            word += ("" if in_escapes else "'$'") + _escape(character)
            in_escapes = True
        elif character == "'":
            word, in_escapes = word + "'\\''", False
        else:
            word, in_escapes = word + ("''" if in_escapes else "") + character, False
    return word + "'"


def _escape(character: str) -> str:
    return "".join(_SHORT.get(byte, f"\\{byte:03o}") for byte in character.encode("utf-8", "surrogateescape"))
