"""Gives one file or link of a tree its new prefix, and nothing else a new look.

A padded file is changed in place: no byte moves, so only a few pages are written. An exact one is written anew beside
the old one and takes its name. Either way it is read again and compared before it counts, and mode, times, attributes
and the names that it shares stay. What is not as it was planned is not touched.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from outcrop.client.relocate.changes import Change, PlaceKind, Style
from outcrop.client.relocate.elf import LocatedString
from outcrop.client.relocate.entries import UNFINISHED
from outcrop.client.relocate.places import Data
from outcrop.client.relocate.plan import PlannedChange
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.reading import opened
from outcrop.client.relocate.rewrite import rewritten, slot, state_of
from outcrop.client.relocate.verify import expected_strings, loader_strings
from outcrop.errors import IntegrityError

_WRITABLE = 0o600
_CAPABILITIES = "security.capability"


class FileChanger:
    """Takes the places of files in `tree`, built for `original`, from any of `states` to `target`."""

    def __init__(self, tree: bytes, original: Prefix, states: tuple[Prefix, ...], target: Prefix) -> None:
        self._tree = tree
        self._original = original
        self._states = tuple(dict.fromkeys((*states, original, target)))
        self._target = target

    def change(self, planned: PlannedChange) -> None:
        """Makes the change `planned`. Raises OSError, and IntegrityError if the file is not as it was planned, or would
        not become what it should; it is as it was then."""
        path = os.path.join(self._tree, planned.change.path)
        if planned.change.places[0].kind is PlaceKind.LINK:
            self._change_link(path, planned.change)
            return
        in_place = planned.change.style is Style.PADDED and not planned.has_other_names
        if not in_place or not self._change_in_place(path, planned.change):
            self._write_anew(path, planned)

    def _change_link(self, path: bytes, change: Change) -> None:
        before = os.lstat(path)
        target = self._rewritten(os.readlink(path), path, change)
        new = _beside(path)
        with _removed_on_failure(new):
            os.symlink(target, new)
            _keep_owner(new, before)
            os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
            os.rename(new, path)

    def _write_anew(self, path: bytes, planned: PlannedChange) -> None:
        new = _beside(path)
        with opened(path) as data, _removed_on_failure(new):
            self._write_new(new, data, path, planned.change)
            self._check(new, path, planned.change, loader_strings(data))
            os.rename(new, path)
        for name in planned.names[1:]:
            other = os.path.join(self._tree, name)
            linked = _beside(other)
            os.link(path, linked, follow_symlinks=False)
            os.rename(linked, other)

    def _write_new(self, new: bytes, data: Data, path: bytes, change: Change) -> None:
        before = os.lstat(path)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _WRITABLE)
        with open(descriptor, "wb") as stream:
            if change.style is Style.EXACT:
                stream.write(self._rewritten(data, path, change))
            else:
                stream.write(memoryview(data))
                stream.flush()
                self._write_slots(descriptor, path, change)
        _keep_owner(new, before)
        # Mode, times to the nanosecond, and whatever attributes this user may set.
        shutil.copystat(path, new)

    def _change_in_place(self, path: bytes, change: Change) -> bool:
        """Whether that worked: a program that runs cannot be written to."""
        before = os.lstat(path)
        capabilities = _capabilities(path)
        with opened(path) as data:
            strings = loader_strings(data)
        with _writable(path, before):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.ETXTBSY:
                    return False
                raise
            try:
                replaced = self._write_slots(descriptor, path, change)
                try:
                    self._check(path, path, change, strings)
                except IntegrityError:
                    for offset, present in replaced:
                        os.pwrite(descriptor, present, offset)
                    raise
            finally:
                os.close(descriptor)
        _keep_status(path, before, capabilities)
        return True

    def _write_slots(self, descriptor: int, path: bytes, change: Change) -> tuple[tuple[int, bytes], ...]:
        """Writes what is not there yet, and returns what was; if something unknown is there, nothing is written."""
        length = len(self._original)
        known = {state.padded(length) for state in self._states}
        present = tuple((place.offset, os.pread(descriptor, length, place.offset)) for place in change.places)
        if os.fstat(descriptor).st_size != change.size or any(value not in known for _, value in present):
            raise _changed_meanwhile(path)
        wanted = slot(change, self._original, self._target)
        replaced = tuple((offset, value) for offset, value in present if value != wanted)
        for offset, _ in replaced:
            os.pwrite(descriptor, wanted, offset)
        return replaced

    def _rewritten(self, data: Data, path: bytes, change: Change) -> bytes:
        state = state_of(data, change, self._original, self._states)
        if state is None:
            raise _changed_meanwhile(path)
        return rewritten(data, change, self._original, state, self._target)

    def _check(self, written: bytes, path: bytes, change: Change, before: tuple[LocatedString, ...]) -> None:
        """Reads the file again, at `written`: each place holds the new prefix, and the loader finds what it should."""
        with opened(written) as data:
            right = state_of(data, change, self._original, (self._target,)) is not None
            expected = expected_strings(before, change, slot(change, self._original, self._target))
            if right and (not before or loader_strings(data) == expected):
                return
        raise IntegrityError(
            what=os.fsdecode(path),
            problem="what was written does not read as it should",
            hint="the file was left as it was; look at the disk's health, and report this if it is well",
        )


def _beside(path: bytes) -> bytes:
    """A name in the directory of `path` that nobody else uses."""
    return os.path.join(os.path.dirname(path), UNFINISHED + os.urandom(8).hex().encode())


@contextmanager
def _removed_on_failure(path: bytes) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


@contextmanager
def _writable(path: bytes, before: os.stat_result) -> Iterator[None]:
    """The file may be written by its owner within the block."""
    if before.st_mode & stat.S_IWUSR:
        yield
        return
    os.chmod(path, stat.S_IMODE(before.st_mode) | stat.S_IWUSR)
    try:
        yield
    finally:
        os.chmod(path, stat.S_IMODE(before.st_mode))


def _capabilities(path: bytes) -> bytes | None:
    """What a program may do beyond its user; the kernel takes that away from a file that is written."""
    try:
        return os.getxattr(path, _CAPABILITIES)
    except OSError:
        return None


def _keep_status(path: bytes, before: os.stat_result, capabilities: bytes | None) -> None:
    """Gives the file that was written back what writing takes away: times, and the marks of a privileged program."""
    if before.st_mode & (stat.S_ISUID | stat.S_ISGID):
        os.chmod(path, stat.S_IMODE(before.st_mode))
    if capabilities is not None:
        with suppress(OSError):  # root of a container may read what it may not set
            os.setxattr(path, _CAPABILITIES, capabilities)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _keep_owner(new: bytes, before: os.stat_result) -> None:
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):
            os.chown(new, before.st_uid, before.st_gid, follow_symlinks=False)


def _changed_meanwhile(path: bytes) -> IntegrityError:
    return IntegrityError(
        what=os.fsdecode(path),
        problem="it is no more as it was when it was looked through",
        hint="nothing in it was changed; let nothing else write to the tree, then relocate it again",
    )
