"""This machine's directories, as a plan of a root sees them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import PurePosixPath

from outcrop.client.ladder.root_plan import Kind


class LocalHost:
    """The directories that this process sees."""

    def kind(self, path: PurePosixPath) -> Kind | None:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            # Not there, not for this user, or on a network file system that is gone: there is nothing to show.
            return None
        if stat.S_ISLNK(mode):
            return Kind.LINK
        return Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.FILE

    def names(self, path: PurePosixPath) -> Sequence[str]:
        try:
            return sorted(os.listdir(path))
        except OSError:
            return ()

    def link(self, path: PurePosixPath) -> str:
        return os.readlink(path)


def real_place(customary: PurePosixPath, name: str) -> PurePosixPath:
    """Where `name` lies below `customary`, links in that path followed: a site may have `/cvmfs` lead elsewhere."""
    return PurePosixPath(os.path.realpath(customary)) / name
