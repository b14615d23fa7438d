"""What comes in to be published: entries of a tree, wherever the tree is (`incoming_directory`, `incoming_tarball`)."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from outcrop.cvmfs.paths import RepositoryPath
from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.stratum0.publishing.contents import ContentResult, ContentWriter


class Attributes(NamedTuple):
    """What an entry has besides its name and content. `mtime` in seconds and nanoseconds since 1970."""

    mode: int
    mtime: int
    mtime_ns: int | None = None
    uid: int = 0
    gid: int = 0
    xattrs: Xattrs = NO_XATTRS

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class Incoming(NamedTuple):
    """One entry on its way in. `path` is relative to the tree's top (empty for the top itself).

    `link_to` names an earlier entry of the same tree that this is a hard link to. `store` hands the content of a
    regular file to a writer; it must be called before the next entry is asked for. An `implied` directory
    only leads to others: nothing is said of it but that it is there.
    """

    path: RepositoryPath
    attributes: Attributes
    symlink: bytes = b""
    device: int = 0
    link_to: RepositoryPath | None = None
    store: Callable[[ContentWriter], ContentResult] | None = None
    implied: bool = False


class IncomingTree(Protocol):
    """A tree to publish."""

    @property
    def address(self) -> str:
        """What people call it: a path."""

    def entries(self) -> Iterator[Incoming]:
        """Every entry, directories before what they hold."""

    def notes(self) -> list[str]:
        """What could not be taken over as it is; complete once all entries were read."""


OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.override_stat")
"""What overlayfs writes into its own directories."""
LABELS = (b"security.selinux", b"security.ima", b"security.evm", b"system.")
"""What a host writes for itself: labels, and lists that the format has no room for."""


def kept_xattrs(attributes: dict[bytes, bytes], path: bytes, notes: list[str]) -> Xattrs:
    """Those of `attributes` that are published. What does not fit into the format is noted."""
    kept = {}
    for key, value in attributes.items():
        if key.startswith(OVERLAY_XATTRS + LABELS):
            continue
        if len(key) > 255 or len(value) > 255:
            shown, name = path.decode("utf-8", "backslashreplace"), key.decode("utf-8", "replace")
            notes.append(f"{shown}: the extended attribute {name} is too long and was left out")
            continue
        kept[key] = value
    return Xattrs.of(kept)
