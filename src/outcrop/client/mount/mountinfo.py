"""The kernel's list of mounts, as `/proc/self/mountinfo` writes it.

A line: number, parent's number, device, root within the file system, mountpoint, options, optional fields, `-`, type,
source, options of the file system. Blanks, tabs, line ends and backslashes in paths are written as octal numbers.
Where several mounts stand on one place, the last line is the one that shows.

Source: proc(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from outcrop.errors import FormatError

FILE_SYSTEM_TYPE = "fuse.outcrop"
AUTOMOUNT_TYPE = "autofs"
LAYERED_TYPE, LAYERED_SOURCE = "overlay", "outcrop:"
"""A mount by layers, and what the name of its source begins with."""
MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FIRST_FIELDS = 6


@dataclass(frozen=True, slots=True)
class MountLine:
    """A mount: where, of what type, of what source."""

    mountpoint: str
    type: str
    source: str

    @property
    def is_layered(self) -> bool:
        """Whether it is a mount by layers."""
        return self.type == LAYERED_TYPE and self.source.startswith(LAYERED_SOURCE)

    @property
    def is_ours(self) -> bool:
        return self.type == FILE_SYSTEM_TYPE or self.is_layered

    @property
    def repository(self) -> str:
        """What is mounted, if it is ours."""
        return self.source.removeprefix(LAYERED_SOURCE) if self.is_layered else self.source


def parse_mountinfo(text: str) -> list[MountLine]:
    """The mounts that `text` lists, in its order; FormatError for a line that is none."""
    # The kernel leaves other characters alone that Python would take for the end of a line.
    return [_parse_line(line) for line in text.split("\n") if line]


def _parse_line(line: str) -> MountLine:
    fields = line.split(" ")
    try:
        separator = fields.index("-", _FIRST_FIELDS)
        mountpoint, kind, source = fields[4], fields[separator + 1], fields[separator + 2]
    except (ValueError, IndexError):
        raise FormatError(what="the list of mounts", field=f"the line {line!r:.200}", problem="is no mount") from None
    return MountLine(_unescaped(mountpoint), kind, _unescaped(source))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def mounts(path: Path = MOUNTINFO) -> list[MountLine]:
    """The mounts that this process sees."""
    return parse_mountinfo(os.fsdecode(path.read_bytes()))


def mount_at(mountpoint: str, lines: Iterable[MountLine]) -> MountLine | None:
    """The mount that shows at exactly `mountpoint`, None if there is none."""
    found = None
    for line in lines:
        if line.mountpoint == mountpoint:
            found = line
    return found


def our_mounts(lines: Iterable[MountLine]) -> list[MountLine]:
    """Those of `lines` that are ours and show, in their order."""
    listed = list(lines)
    return [line for line in listed if line.is_ours and mount_at(line.mountpoint, listed) is line]


def source_name(target: str) -> str:
    """Under which name the repository that commands call `target`, a name or a URL, is mounted."""
    parts = urlsplit(target)
    return unquote(parts.path).rstrip("/").rpartition("/")[2] if parts.scheme and "://" in target else target
