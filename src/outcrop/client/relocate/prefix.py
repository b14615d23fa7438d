"""Prefixes: the paths below which a tree was built, and below which it is to run.

Whatever is compiled in keeps its length, since other bytes are found by counting. So a new prefix is followed by as
many `/` as it is shorter than the old one: to every system call `/a/b////c` is `/a/b/c`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from outcrop.errors import InvalidValue

_PLAIN = re.compile(rb"(?:/[A-Za-z0-9._+@-]+)+")
"""What neither a shebang line, a shell script, a search path, a make file nor Python's bytecode takes for anything else
than a path. Bytecode marks strings as ASCII, so nothing beyond that."""

LINK_HINT = "or take `outcrop relocate --link /tmp/NAME`: a short symbolic link to the tree is written into it instead"


@dataclass(frozen=True, slots=True, order=True)
class Prefix:
    """An absolute path without a slash at its end, made by `prefix`."""

    path: bytes

    def __len__(self) -> int:
        return len(self.path)

    def __str__(self) -> str:
        return os.fsdecode(self.path)

    def padded(self, length: int) -> bytes:
        """The prefix with as many `/` behind it as make it `length` bytes long."""
        return self.path.ljust(length, b"/")

    def holds(self, path: bytes) -> bool:
        """Whether `path`, which has no `.` or `..` in it, is this prefix or lies below it."""
        return path == self.path or path.startswith(self.path + b"/")


def prefix(text: str, what: str = "the prefix") -> Prefix:
    """The prefix that `text` names, without the slashes that make no difference. `what` it is, for the error.

    Raises InvalidValue for a path that is not absolute, is the root, or that some file could not hold as it is.
    """
    path = re.sub(rb"/+", b"/", os.fsencode(text)).rstrip(b"/")
    if not text.startswith("/") or not path:
        raise InvalidValue(
            what=f"{what} `{text}`", problem="is not an absolute path below the root", hint="name it from the root on"
        )
    if not _PLAIN.fullmatch(path) or {b".", b".."} & set(path.split(b"/")):
        raise InvalidValue(
            what=f"{what} `{text}`",
            problem="holds more than letters, digits and `._+@-`, which scripts or search paths may misunderstand",
            hint=f"name a plain path, {LINK_HINT}",
        )
    return Prefix(path)


def check_room(original: Prefix, target: Prefix) -> None:
    """Refuses a `target` that is longer than `original`, the prefix that the tree was built for, or lies above it: then
    old paths and new ones look the same."""
    if len(target) > len(original):
        raise InvalidValue(
            what=f"the path {target}",
            problem=f"is too long: it has {len(target)} bytes, and what is compiled in for {original} leaves "
            f"room for {len(original)}",
            hint=f"name a path of at most {len(original)} bytes, {LINK_HINT}",
        )
    if target.holds(original.path) and target != original:
        raise InvalidValue(
            what=f"the path {target}",
            problem=f"lies above {original}, so nobody could tell old paths from new ones",
            hint="name a path elsewhere",
        )
