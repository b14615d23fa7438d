"""What may come in: every entry is judged before anything of it is used.

Refused are set-user-ID and set-group-ID files, files with capabilities and device nodes, unless the change allows them:
on a client that mounts the repository for all its users they would be a door to root. So is what lies outside the paths
that the change declares. What everybody may write is published without that, and said.

Whatever the change allows, an entry must be one that Linux can open, and what is called like a marker of nested
catalogs must be one: the stock tools take a directory or link of that name for a catalog that is lost.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

from outcrop.cvmfs.paths import RepositoryPath, ancestors, is_below, name, shown
from outcrop.errors import InvalidValue
from outcrop.stratum0.catalogs.catalog_tree import MARKER
from outcrop.stratum0.catalogs.markers import AUTOMATIC_MARKER
from outcrop.stratum0.publishing.incoming import Incoming

CAPABILITY_XATTR = b"security.capability"
MARKERS = frozenset((MARKER, AUTOMATIC_MARKER))
"""Names that only a regular file may have."""
MAXIMUM_NAME_BYTES = 255
"""Linux's limit (NAME_MAX): nobody could open a file with a longer name."""
MAXIMUM_PATH_BYTES = 4095
"""Linux's limit (PATH_MAX, 4096 with the NUL at the end): no path or symbolic link that is longer can be followed."""
_SHOWN_BYTES = 300
"""How much of a path a message shows: the longest name, and what it lies in."""
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device node",
    stat.S_IFBLK: "a device node",
}
_PRIVILEGES = stat.S_ISUID | stat.S_ISGID
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class DoorRules:
    """What a change may bring in. `within` are the paths that it declares; empty for all."""

    within: tuple[RepositoryPath, ...] = ()
    allow_privileged: bool = False
    allow_devices: bool = False
    allow_world_writable: bool = False

    def declares(self, path: RepositoryPath, *, is_directory: bool) -> bool:
        """Whether the change may bring in `path`. What leads to a declared path comes along with every archive."""
        return any(is_below(path, one) or (is_directory and is_below(one, path)) for one in self.within)


NO_PRIVILEGES = DoorRules()


class Door:
    """Judges entries by `rules`; `notes` says what was changed on the way in."""

    def __init__(self, rules: DoorRules) -> None:
        self._rules = rules
        self._writable: list[str] = []
        self._writable_count = 0
        self._group_count = 0

    def admit(self, path: RepositoryPath, incoming: Incoming, origin: str) -> Incoming:
        """The entry of the tree `origin` as it may stand at `path`; InvalidValue, with the reason, if it may not."""
        rules = self._rules
        mode = incoming.attributes.mode
        self.require_possible(path, mode, origin)
        if len(incoming.symlink) > MAXIMUM_PATH_BYTES:
            problem = f"is a symbolic link to {len(incoming.symlink):,} bytes; Linux follows {MAXIMUM_PATH_BYTES:,}"
            raise _refusal(path, origin, problem, "leave it out, or link to a shorter path")
        if incoming.implied:
            return incoming
        if rules.within and not rules.declares(path, is_directory=stat.S_ISDIR(mode)):
            declared = ", ".join(shown(one) for one in rules.within)
            raise _refusal(path, origin, f"lies outside of {declared}", "leave it out, or widen `--within`")
        if stat.S_ISLNK(mode):
            return incoming
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not rules.allow_devices:
            raise _refusal(path, origin, "is a device node", "leave it out, or say `--allow-devices`")
        if not rules.allow_privileged:
            self._require_unprivileged(path, incoming, origin)
        allowed_mode = self._without_common_write(path, mode)
        if stat.S_ISDIR(mode) and mode & _PRIVILEGES and not rules.allow_privileged:
            self._group_count += 1
            allowed_mode &= ~_PRIVILEGES
        if allowed_mode == mode:
            return incoming
        return incoming._replace(attributes=incoming.attributes._replace(mode=allowed_mode))

    def require_place(self, at: RepositoryPath) -> None:
        """Returns if trees can be laid at `at`; InvalidValue if no directory can be there."""
        for directory in (*ancestors(at), at):
            self.require_possible(directory, stat.S_IFDIR, "`--at`")

    @staticmethod
    def require_possible(path: RepositoryPath, mode: int, origin: str) -> None:
        """Returns if an entry of this mode can stand at `path` at all; InvalidValue, with the reason, if not."""
        last = name(path)
        if len(last) > MAXIMUM_NAME_BYTES:
            raise _refusal(path, origin, f"has a name of more than {MAXIMUM_NAME_BYTES} bytes", "give it a shorter one")
        if len(path) > MAXIMUM_PATH_BYTES:
            problem = f"has a path of {len(path):,} bytes; Linux opens {MAXIMUM_PATH_BYTES:,}"
            raise _refusal(path, origin, problem, "leave it out, or lay it less deep")
        if last in MARKERS and not stat.S_ISREG(mode):
            called = shown(last)
            problem = f"is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, and only a regular file may be called {called}"
            raise _refusal(path, origin, problem, "leave it out, or give it another name")

    def notes(self) -> list[str]:
        """A sentence on each thing that was published otherwise than it came."""
        notes = []
        if self._writable_count:
            examples = ", ".join(self._writable) + (", …" if self._writable_count > _EXAMPLES else "")
            one = self._writable_count == 1
            was, is_ = ("1 entry was", "is") if one else (f"{self._writable_count:,} entries were", "are")
            notes.append(f"{was} writable by everybody, and {is_} not any more: {examples}")
        if self._group_count:
            which, its = (
                ("1 directory", "its") if self._group_count == 1 else (f"{self._group_count:,} directories", "their")
            )
            notes.append(f"{which} lost {its} set-group-ID bit, which means nothing to readers")
        return notes

    @staticmethod
    def _require_unprivileged(path: RepositoryPath, incoming: Incoming, origin: str) -> None:
        attributes = incoming.attributes
        hint = "take the privilege away, or say `--allow-privileged`"
        if attributes.is_file and attributes.mode & _PRIVILEGES:
            kind = "set-user-ID" if attributes.mode & stat.S_ISUID else "set-group-ID"
            raise _refusal(path, origin, f"is {kind} (mode {stat.S_IMODE(attributes.mode):04o})", hint)
        if attributes.xattrs and attributes.xattrs.get(CAPABILITY_XATTR) is not None:
            raise _refusal(path, origin, "has file capabilities", hint)

    def _without_common_write(self, path: RepositoryPath, mode: int) -> int:
        if not mode & stat.S_IWOTH or self._rules.allow_world_writable:
            return mode
        self._writable_count += 1
        if len(self._writable) < _EXAMPLES:
            self._writable.append(shown(path))
        return mode & ~stat.S_IWOTH


def _refusal(path: RepositoryPath, origin: str, problem: str, hint: str) -> InvalidValue:
    place = shown(path) if len(path) <= _SHOWN_BYTES else f"{shown(path[:_SHOWN_BYTES])}…"
    return InvalidValue(what=f"{place} (from {origin})", problem=problem, hint=f"{hint}; nothing was published")
