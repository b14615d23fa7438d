"""A layer of metadata planted as empty files in memory, for user namespaces, where no image may be mounted.

Every file has its size, times and mode, and the attributes by which overlayfs finds its bytes; none has any bytes. All
belong to whoever plants them: in his namespace there is nobody else. Several processes plant at once, each a share of
the directories.

Times of directories are set last, since every name that is planted in them changes them.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from outcrop.client.layers.metadata import AttributeSpace, Inode, Listing, Metadata
from outcrop.errors import StorageError

_SPACE = AttributeSpace.USER
_PERMISSIONS = 0o7777
_DIRECTORY_MODE = 0o700
_FEWEST_EACH = 2000
"""Entries that are worth a process of their own: to fork one costs as much as to plant a hundred."""

_MOST_PROCESSES = 8
_NANOSECONDS = 10**9


def plant(metadata: Metadata, place: Path, processes: int = 0) -> None:
    """Plants `metadata`, as `parting` allows it, in the empty directory `place`, by `processes` (as many as there are
    processors).

    This process should have no other threads. OSError as the kernel says, StorageError when a process that helped
    failed."""
    directories = _directories(metadata, os.fsencode(place))
    for path in directories.values():
        if path != os.fsencode(place):
            os.mkdir(path, _DIRECTORY_MODE)
    most = max(len(metadata.inodes) // _FEWEST_EACH, 1)
    count = min(processes or len(os.sched_getaffinity(0)), most, _MOST_PROCESSES)
    helpers = [_start(metadata, directories, metadata.listings[share::count]) for share in range(1, count)]
    try:
        _plant_files(metadata, directories, metadata.listings[::count])
    finally:
        ended = [os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) for helper in helpers]
    if any(ended):
        raise StorageError(what="the layer of metadata", problem="could not be made in memory", hint="free some memory")
    for number in reversed(directories):
        path, inode = directories[number], metadata.inodes[number]
        for name, value in inode.xattrs:
            os.setxattr(path, _SPACE.escaped(name), value)
        os.chmod(path, inode.mode & _PERMISSIONS)
        _set_times(path, inode)


def _directories(metadata: Metadata, place: bytes) -> dict[int, bytes]:
    """Where each directory lies, those above others first."""
    paths = {0: place}
    for listing in metadata.listings:
        above = paths[listing.inode]
        for name, number in zip(listing.names, listing.inodes, strict=True):
            if stat.S_ISDIR(metadata.inodes[number].mode):
                paths[number] = above + b"/" + name
    return paths


def _start(metadata: Metadata, directories: dict[int, bytes], listings: Sequence[Listing]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    helper = os.fork()
    if helper:
        return helper
    code = 1
    try:
        _plant_files(metadata, directories, listings)
        code = 0
    finally:
        os._exit(code)


def _plant_files(metadata: Metadata, directories: dict[int, bytes], listings: Sequence[Listing]) -> None:
    inodes = metadata.inodes
    mask = os.umask(0)
    try:
        for listing in listings:
            # Names of one file are always in one directory.
            planted: dict[int, bytes] = {}
            os.chdir(directories[listing.inode])
            for name, number in zip(listing.names, listing.inodes, strict=True):
                inode = inodes[number]
                if stat.S_ISREG(inode.mode):
                    if inode.nlink > 1:
                        first = planted.setdefault(number, name)
                        if first is not name:
                            os.link(first, name)
                            continue
                    _plant_file(name, inode)
                elif not stat.S_ISDIR(inode.mode):
                    _plant_other(name, inode)
    finally:
        os.umask(mask)


def _plant_file(name: bytes, inode: Inode) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if inode.redirect:
            os.ftruncate(descriptor, inode.size)
            os.setxattr(descriptor, _METACOPY, b"")
            os.setxattr(descriptor, _REDIRECT, inode.redirect)
        for attribute, value in inode.xattrs:
            os.setxattr(descriptor, _SPACE.escaped(attribute), value)
        os.fchmod(descriptor, inode.mode & _PERMISSIONS)
        time = inode.mtime * _NANOSECONDS + inode.mtime_ns
        os.utime(descriptor, ns=(time, time))
    finally:
        os.close(descriptor)


_METACOPY, _REDIRECT = _SPACE.metacopy, _SPACE.redirect


def _plant_other(name: bytes, inode: Inode) -> None:
    if stat.S_ISLNK(inode.mode):
        os.symlink(inode.target, name)
    else:
        os.mknod(name, inode.mode)
    _set_times(name, inode)


def _set_times(path: bytes, inode: Inode) -> None:
    time = inode.mtime * _NANOSECONDS + inode.mtime_ns
    os.utime(path, ns=(time, time), follow_symlinks=False)
