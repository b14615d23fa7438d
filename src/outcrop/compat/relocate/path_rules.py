"""Which absolute paths belong to the layer, and where they are in it.

A distribution's files name each other by absolute paths: `/usr/share/terminfo`, `/etc/ssl`, `/bin/sh`. Below a prefix
P they are P + the same path. What a program is to find on the machine that runs it stays as it is: devices, processes,
temporary files, homes.

`/usr`, `/etc`, `/var/lib` and `/var/cache` move whole, also what is not in the layer: a program that asks there for a
file of ours must not be given the host's. Of `/bin`, `/lib`, `/sbin`, `/lib64` and `/var` moves what the layer has:
as parts of longer paths (`/lib` after a prefix that is only known at run time) they often mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_WHOLE = (b"usr", b"etc", b"var/lib", b"var/cache", b"lib/terminfo")
_SEARCHED = (b"/bin", b"/sbin")
_WHERE_PRESENT = (b"bin", b"sbin", b"lib", b"lib64", b"libx32", b"lib32", b"var")

_BEFORE = rb"(?:(?<![A-Za-z0-9_.~$)}%*+@\]\\/-])|(?<=-[BFILR])|(?<=:-))"
"""What a path cannot follow: there it is the rest of a longer one, such as `$prefix/usr` or `../etc`. It can follow an
option of a compiler, and be what a shell takes for a variable that is not set."""

_NAME = rb"[A-Za-z0-9_.+@%{}$-]"
_CANDIDATE = re.compile(
    _BEFORE
    + rb"/(?:(?P<whole>" + b"|".join(_WHOLE) + rb")|(?P<present>" + b"|".join(_WHERE_PRESENT) + rb"))"
    + rb"(?P<rest>(?:/+" + _NAME + rb"+)*)(?!" + _NAME + rb")"
)  # fmt: skip

QUICK = re.compile(rb"/(?:usr|etc|s?bin|lib(?:64|32|x32)?|var)(?![A-Za-z0-9_.+@-])")
"""What no path of a layer can do without; far quicker to look for than the paths themselves."""


@dataclass(frozen=True, slots=True)
class PathRules:
    """`prefix` (such as `/cvmfs/software.example.org/…/x86_64`, no slash at its end) takes the place of the root;
    `present` holds the paths of the layer's files and directories, with the `/` at their beginning; `kept` are paths
    that stay the host's, with all below them."""

    prefix: bytes
    present: Collection[bytes]
    kept: tuple[bytes, ...] = ()

    def moved(self, text: bytes) -> bytes:
        """`text` with the prefix before every path of the layer in it."""
        return _CANDIDATE.sub(self._replacement, text)

    def moves(self, path: bytes) -> bool:
        """Whether `path`, alone, is one of the layer's."""
        match = _CANDIDATE.fullmatch(path)
        return match is not None and self._is_ours(match)

    def _replacement(self, match: re.Match[bytes]) -> bytes:
        return self.prefix + match[0] if self._is_ours(match) else match[0]

    def _is_ours(self, match: re.Match[bytes]) -> bool:
        path = re.sub(rb"//+", b"/", match[0])
        if any(path == kept or path.startswith(kept + b"/") for kept in self.kept):
            return False
        if match["whole"] is not None:
            return True
        # A pattern (`/lib/%s`) is judged by the directories before it.
        literal = re.split(rb"/[^/]*[%{$]", path, maxsplit=1)[0]
        if literal.count(b"/") == 1:
            return literal in _SEARCHED and _in_list(match)
        return literal in self.present


def _in_list(match: re.Match[bytes]) -> bool:
    """Whether a path is an element of a list such as PATH."""
    before, after = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() : match.end() + 1]
    return before == b":" or after == b":"
