"""A directory on disk as a tree to publish."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from outcrop.cvmfs.entry import NANOSECONDS
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, join
from outcrop.cvmfs.xattrs import NO_XATTRS, Xattrs
from outcrop.errors import InvalidValue, storage_error
from outcrop.stratum0.publishing.content_index import FileIdentity
from outcrop.stratum0.publishing.contents import ContentResult, ContentWriter
from outcrop.stratum0.publishing.fingerprint import TreeFingerprint, directory_fingerprint
from outcrop.stratum0.publishing.incoming import Attributes, Incoming, kept_xattrs


class DirectoryTree:
    """Everything below `root`, without following links. With `only`, just these paths below it and what leads there."""

    def __init__(self, root: Path, *, only: tuple[RepositoryPath, ...] = (), with_xattrs: bool = True) -> None:
        if not root.is_dir():
            raise InvalidValue(what=str(root), problem="is not a directory", hint="name a directory or a tarball")
        self._address = str(root)
        self._root = os.path.realpath(os.fsencode(root))
        self._only = frozenset(only)
        self._leading = frozenset(ancestor for path in only for ancestor in ancestors(path))
        self._with_xattrs = with_xattrs
        self._notes: list[str] = []
        self._seen: dict[tuple[int, int], RepositoryPath] = {}

    @property
    def address(self) -> str:
        return self._address

    def notes(self) -> list[str]:
        return self._notes

    def fingerprint(self) -> TreeFingerprint:
        """What tells that nothing in the tree has changed."""
        wanted = directory_fingerprint(self._root, sorted(self._only) or (b"",))
        try:
            leading = [os.lstat(self._root + path) for path in sorted(self._leading)]
        except OSError as error:
            raise storage_error(error) from error
        # No program can set the time of change, so it stands for all that `lstat` says.
        changed = [(status.st_ino, status.st_ctime_ns) for status in leading]
        digest = hashlib.blake2b(repr((wanted.digest, changed, self._with_xattrs)).encode(), digest_size=32).digest()
        return TreeFingerprint(digest, max([wanted.newest_ns, *(time for _, time in changed)]))

    def entries(self) -> Iterator[Incoming]:
        self._seen.clear()
        try:
            yield from self._walk(os.lstat(self._root))
        except OSError as error:
            raise storage_error(error) from error

    def _walk(self, top: os.stat_result) -> Iterator[Incoming]:
        pending = [(ROOT, top, not self._only)]
        while pending:
            path, status, wanted = pending.pop()
            wanted = wanted or path in self._only
            if not wanted and path not in self._leading:
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield self._entry(path, status)
                continue
            yield Incoming(path, self._attributes(path, status))
            with os.scandir(self._root + path) as directory:
                children = [(join(path, child.name), child.stat(follow_symlinks=False), wanted) for child in directory]
            pending += sorted(children, key=lambda child: child[0], reverse=True)

    def _entry(self, path: RepositoryPath, status: os.stat_result) -> Incoming:
        attributes = self._attributes(path, status)
        place = self._root + path
        if stat.S_ISLNK(status.st_mode):
            return Incoming(path, attributes, symlink=os.readlink(place))
        place_on_disk = (status.st_dev, status.st_ino)
        first = self._seen.get(place_on_disk)
        if status.st_nlink > 1 and first is not None:
            return Incoming(path, attributes, link_to=first)
        if status.st_nlink > 1:
            self._seen[place_on_disk] = path
        if stat.S_ISREG(status.st_mode):
            return Incoming(path, attributes, store=partial(_store_file, place, FileIdentity.of(status)))
        return Incoming(path, attributes, device=status.st_rdev)

    def _attributes(self, path: RepositoryPath, status: os.stat_result) -> Attributes:
        seconds, nanoseconds = divmod(status.st_mtime_ns, NANOSECONDS)
        return Attributes(
            mode=status.st_mode,
            mtime=seconds,
            mtime_ns=nanoseconds,
            uid=status.st_uid,
            gid=status.st_gid,
            xattrs=self._xattrs(path) if self._with_xattrs else NO_XATTRS,
        )

    def _xattrs(self, path: RepositoryPath) -> Xattrs:
        place = self._root + path
        try:
            names = os.listxattr(place, follow_symlinks=False)
            if not names:
                return NO_XATTRS
            values = {os.fsencode(name): os.getxattr(place, name, follow_symlinks=False) for name in names}
        except OSError:
            # File systems without attributes, and attributes that only root may read.
            return NO_XATTRS
        return kept_xattrs(values, path, self._notes)


def _store_file(place: bytes, identity: FileIdentity, writer: ContentWriter) -> ContentResult:
    return writer.add_file(place, identity)
