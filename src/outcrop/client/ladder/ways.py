"""The rungs of the ladder, best first, and why one cannot be taken.

A command sees the repository at `/cvmfs/<name>` on every rung but one: a relocated copy lies elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Way(Enum):
    """A way to show a repository. The order is the ladder's, best first; the value is its name on command lines."""

    MOUNTED = "mounted"
    EROFS = "erofs"
    OVERLAY = "overlay"
    FUSE = "fuse"
    FUSERMOUNT = "fusermount"
    CHECKOUT = "checkout"
    CONTAINER = "container"
    RELOCATED = "relocated"
    PRELOAD = "preload"
    PROOT = "proot"

    @property
    def description(self) -> str:
        """What happens, in a few words."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Way.MOUNTED: "the mount that is there already",
    Way.EROFS: "an image of the metadata over the cache, by overlayfs, as root",
    Way.OVERLAY: "metadata in memory over the cache, by overlayfs in a user namespace",
    Way.FUSE: "a FUSE mount in a namespace of the command's own",
    Way.FUSERMOUNT: "a FUSE mount by fusermount3, bound into a namespace",
    Way.CHECKOUT: "a copy in the cache, bound into a namespace",
    Way.CONTAINER: "a copy in the cache, bound by a container tool",
    Way.RELOCATED: "a copy rewritten to run from another directory",
    Way.PRELOAD: "a copy in the cache, shown by libraries in front of the C library",
    Way.PROOT: "a copy in the cache, shown by PRoot, which traces every call",
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a way cannot be taken, in one sentence without its full stop, and what would change that."""

    reason: str
    hint: str = ""
