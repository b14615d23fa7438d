"""Libraries that files of a layer find otherwise than by the loader's own search, and why: `libraries.toml`.

    [[elsewhere]]
    paths = ["usr/lib/*/example/*.so"]
    needs = ["libprivate.so.1"]        # globs of the names
    reason = "opened by example, which has loaded it already"

A stack's own file adds to the one that comes with Outcrop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from outcrop.compat.declared_files import LIBRARIES_FILE, STANDARD_DIRECTORY
from outcrop.compat.left_out import glob_pattern
from outcrop.errors import FormatError
from outcrop.toml_text import decoded, read_text


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    paths: tuple[str, ...]
    needs: tuple[str, ...]
    reason: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    elsewhere: tuple[_Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The files `paths` may need the libraries `names`, which the loader does not find for them."""

    paths: re.Pattern[str]
    names: re.Pattern[str]

    def allows(self, path: str, name: str) -> bool:
        return bool(self.paths.fullmatch(path) and self.names.fullmatch(name))


def found_elsewhere(own: str = "") -> tuple[Elsewhere, ...]:
    """What comes with Outcrop, and what `own`, the text of a stack's own file, adds. FormatError naming the file and
    the field, StorageError."""
    standard = STANDARD_DIRECTORY / LIBRARIES_FILE
    texts = ((str(standard), read_text(standard)), (f"the stack's {LIBRARIES_FILE}", own))
    return tuple(one for what, text in texts for one in parse_elsewhere(text, what))


def parse_elsewhere(text: str, what: str) -> Sequence[Elsewhere]:
    """What `text` says; FormatError."""
    found = []
    for entry in decoded(text, _File, what).elsewhere:
        if not entry.reason.strip():
            raise FormatError(what=what, field="reason", problem=f"is empty for {', '.join(entry.paths)}")
        paths, names = ("|".join(map(glob_pattern, globs)) for globs in (entry.paths, entry.needs))
        found.append(Elsewhere(re.compile(paths), re.compile(names)))
    return found
