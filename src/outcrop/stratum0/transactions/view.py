"""A writable view of a revision: the revision mounted read-only, and over it an overlay that takes the changes.

What mounts the revision belongs to the client, so it comes in as `Mounting`. In every way the view ends in two steps,
the overlay first; whoever uses it is named, or with `discard_view` loses it from sight. Nothing needs to be remembered
for that: what is mounted tells by its source and place which transaction it belongs to, also in the namespaces of other
processes, and after any process was killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from outcrop.cvmfs.digest import Digest
from outcrop.errors import Busy, MissingCapability, NotFound, OutcropError, storage_error
from outcrop.stratum0.lock import exclusive
from outcrop.stratum0.transactions.copies import (
    goes_with,
    make_read_only,
    make_writable,
    program_name,
    users_of_copy,
)
from outcrop.stratum0.transactions.namespace import enter_namespace_of, in_child, make_namespace, mount_namespace
from outcrop.stratum0.transactions.overlay import (
    PROGRAM,
    OverlayPlace,
    Way,
    make_trial,
    mount_by_kernel,
    mount_by_program,
    possible_ways,
    require_faithful,
)
from outcrop.stratum0.transactions.transaction_record import TransactionPlace, repository_of

END_SECONDS = 30.0
"""How long fuse-overlayfs may take to write what it holds back, once nobody uses its mount."""

_SHOWN_USERS = 5


@dataclass(frozen=True, slots=True)
class MountedAt:
    """A mount: where, of what type, of what source."""

    mountpoint: str
    type: str
    source: str


class Mounting(Protocol):
    """What a view needs of the machine's mounts."""

    def mount_revision(self, root: Digest, at: Path, owner: tuple[int, int] | None, log: Path) -> None:
        """Mounts the revision with the root catalog `root` read-only at `at`, served until it is unmounted.

        Everything belongs to `owner` (uid, gid), or to whom the repository says. Links show their targets as
        published. Raises what opening and mounting raise."""

    def check_mountpoint(self, at: Path) -> None:
        """Raises NotFound, InvalidValue or AlreadyExists if nothing can be mounted at `at`."""

    def mounts(self, process: int | None = None) -> Sequence[MountedAt]:
        """What a process (by default this one) sees mounted, in the order of mounting."""

    def unmount(self, at: Path, *, lazy: bool) -> None:
        """Ends the mount at `at`, with `lazy` from sight at once. Busy if it is used, NotFound if none is there."""

    def users_of(self, at: Path) -> Iterator[str]:
        """The processes that use the mount at `at`, as people know them."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """Mounts of one transaction that show in one mount namespace: this one, or that of `process`."""

    process: int | None
    mounts: tuple[MountedAt, ...]

    def shows_view(self, place: TransactionPlace) -> bool:
        return any(_is_view(one, place) for one in self.mounts)

    def shown_view(self, place: TransactionPlace) -> Path:
        """Where the view shows in this namespace, where it does."""
        return Path(next(one.mountpoint for one in reversed(self.mounts) if _is_view(one, place)))

    def run(self, work: Callable[[], None]) -> None:
        """Runs `work` in this namespace; raises what it raises, and MissingCapability if this user may not enter."""
        process = self.process
        if process is None:
            work()
            return

        def work_inside() -> None:
            # What is mounted there may belong to this user, and the namespace to another.
            enter_namespace_of(process, keeps_user=True)
            work()

        in_child(work_inside)


def open_view(
    place: TransactionPlace, base: Digest, mounting: Mounting, *, at: Path | None = None, only: Way | None = None
) -> Way:
    """Mounts the view of the revision with the root catalog `base`, in the best way that works; returns which.

    It shows at `at`, or in the transaction's own directory. MissingCapability, with each way's reason, if none works.
    Where a way is named as the `only` one, it is taken with its faults.
    """
    if at is not None:
        mounting.check_mountpoint(at)
    place.prepare(at)
    refusals: list[MissingCapability] = []
    for way in (only,) if only else possible_ways(os.geteuid()):
        try:
            if way is Way.FUSE and only is None:
                _try_out_program(place, mounting)
            _open_by(way, place, base, mounting)
        except MissingCapability as error:
            refusals.append(error)
            discard_view(place, mounting)
        except BaseException:
            discard_view(place, mounting)
            raise
        else:
            return way
    if len(refusals) == 1:
        raise refusals[0]
    reasons = "; ".join(f"{error.fields['what']}: {error.fields['problem']}" for error in refusals)
    raise MissingCapability(what="a writable view", problem=reasons, hint=refusals[-1].hint)


def _open_by(way: Way, place: TransactionPlace, base: Digest, mounting: Mounting) -> None:
    overlay = OverlayPlace(_real(place.directory), place.view, _type_of_file_system(place.upper, mounting))

    def mount_both() -> None:
        if way is Way.NAMESPACE:
            make_namespace()
        owner = None if way.shows_owners else (os.geteuid(), os.getegid())
        mounting.mount_revision(base, place.lower, owner, place.log)
        if way is not Way.FUSE:
            mount_by_kernel(overlay, way)

    in_child(mount_both)
    if way is Way.FUSE:
        with _lifeline(place) as descriptor:
            mount_by_program(overlay, descriptor)


def _try_out_program(place: TransactionPlace, mounting: Mounting) -> None:
    """MissingCapability if fuse-overlayfs, or this version of it, cannot be relied on here."""
    directory = place.directory / "trial"
    try:
        with _lifeline(place) as descriptor:
            trial = make_trial(_real(directory))
            mount_by_program(trial, descriptor)
            try:
                require_faithful(trial)
            finally:
                mounting.unmount(trial.view, lazy=True)
        _wait_for_program(place)
        shutil.rmtree(directory)
    except OSError as error:
        problem = f"it fails in a trial ({error.strerror})"
        raise MissingCapability(what=PROGRAM, problem=problem, hint="install a newer version") from error


@contextmanager
def _lifeline(place: TransactionPlace) -> Iterator[int]:
    """A descriptor that locks `view.lock` for as long as any process has it open."""
    try:
        descriptor = os.open(place.view_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
        finally:
            os.close(descriptor)
    except BlockingIOError as error:
        raise _still_served(place) from error
    except OSError as error:
        raise storage_error(error) from error


def is_mounted(place: TransactionPlace, mounting: Mounting) -> bool:
    """Whether the view shows anywhere."""
    return any(sighting.shows_view(place) for sighting in _sightings(place, mounting))


def is_alive(place: TransactionPlace, mounting: Mounting) -> bool:
    """Whether the view shows somewhere, and the revision below it is still served."""
    for sighting in _sightings(place, mounting):
        if len(sighting.mounts) > 1 and sighting.shows_view(place):
            return _answers(place.lower, sighting.process)
    return False


def _answers(mountpoint: Path, process: int | None) -> bool:
    def ask() -> None:
        if process is not None:
            enter_namespace_of(process)
        os.statvfs(mountpoint)

    try:
        in_child(ask)
    except OutcropError:
        return False
    return True


def process_inside(place: TransactionPlace, mounting: Mounting) -> int | None:
    """A process in whose namespace the view shows, where it does not show in this one; None if it shows here.

    NotFound if it shows nowhere."""
    for sighting in _sightings(place, mounting):
        if sighting.shows_view(place):
            return sighting.process
    raise NotFound(what=f"the view of the transaction {place.name}", hint="`--resume` mounts it again")


def freeze_view(place: TransactionPlace, mounting: Mounting) -> None:
    """Takes the view away, so that nothing changes in the upper directory any more. It may be gone already.

    A copy in a namespace from which nothing can be taken away, such as somebody's sandbox, stays there, read-only.
    Busy, naming them, if processes use the view or a copy, or may change a copy that cannot be made read-only: then the
    view stays, whole."""
    found = list(_sightings(place, mounting))
    copies = _lasting_copies(found, place)
    sealed = _seal(place, mounting, found, copies) if copies else None
    try:
        for sighting in found:
            _take_away(sighting, place, mounting, lazy=sighting in copies)
    except BaseException:
        if sealed is not None:
            sealed.run(partial(make_writable, sealed.shown_view(place)))
        raise
    left = [sighting for sighting in _sightings(place, mounting) if sighting.shows_view(place)]
    if left and sealed is None:
        _seal(place, mounting, left, left)
    if not left:
        _wait_for_program(place)


def _lasting_copies(found: Sequence[_Sighting], place: TransactionPlace) -> list[_Sighting]:
    """The copies of the view that do not go when the view goes."""
    showing = [sighting for sighting in found if sighting.shows_view(place)]
    if not showing:
        return []
    original = showing[0]
    return [
        copy
        for copy in showing[1:]
        if copy.process is not None
        and not goes_with(copy.process, str(copy.shown_view(place)), original.process, str(original.shown_view(place)))
    ]


def _seal(
    place: TransactionPlace, mounting: Mounting, found: Sequence[_Sighting], copies: Sequence[_Sighting]
) -> _Sighting:
    """Makes the view read-only in all its copies; returns the sighting through which that was done.

    Busy if somebody works in one of the `copies` or writes anywhere, or if this user may not: then nothing happened."""
    users = [
        user
        for copy in copies
        if copy.process is not None
        for user in users_of_copy(copy.process, str(copy.shown_view(place)))
    ]
    if users:
        raise _used(place.view, users, place)
    for sighting in found:
        if not sighting.shows_view(place):
            continue
        view = sighting.shown_view(place)
        try:
            sighting.run(partial(make_read_only, view))
        except Busy as error:
            raise _used(view, list(mounting.users_of(view)) or _holders(copies), place) from error
        except OutcropError:
            # Another namespace may be one that we may decide in.
            continue
        return sighting
    raise _used(place.view, _holders(copies), place)


def _holders(copies: Sequence[_Sighting]) -> list[str]:
    return [f"{program_name(copy.process)}, which has a copy of it" for copy in copies if copy.process is not None]


def _used(view: Path, users: Sequence[str], place: TransactionPlace) -> Busy:
    shown = ", ".join(users[:_SHOWN_USERS]) + (" and others" if len(users) > _SHOWN_USERS else "")
    fqrn = repository_of(place.home)
    return Busy(
        what=f"the view {view}",
        holder=shown or "a program that has files open or its working directory there",
        hint="end it or leave the directory, then publish again; "
        f"`outcrop repo abort {fqrn} --transaction {place.name}` throws the changes away",
    )


def _take_away(sighting: _Sighting, place: TransactionPlace, mounting: Mounting, *, lazy: bool) -> None:
    """Unmounts what `sighting` shows, as far as its namespace allows. Busy, naming them, if processes use the view."""
    for one in sorted(sighting.mounts, key=lambda one: not _is_view(one, place)):
        try:
            _unmount(one, sighting, mounting, lazy=lazy)
        except Busy as error:
            if _is_view(one, place):
                raise _used(Path(one.mountpoint), list(mounting.users_of(Path(one.mountpoint))), place) from error
            # The layer below is nobody's business. It ends when the last one looks away.
            _unmount(one, sighting, mounting, lazy=True)


def discard_view(place: TransactionPlace, mounting: Mounting) -> int:
    """Takes everything away that is mounted for the transaction, whoever uses it; returns how many mounts that were.

    A copy in a namespace from which nothing can be taken away is left to it, and ends with it."""
    return sum(
        _unmount(one, sighting, mounting, lazy=True)
        for sighting in _sightings(place, mounting)
        for one in reversed(sighting.mounts)
    )


def _unmount(one: MountedAt, sighting: _Sighting, mounting: Mounting, *, lazy: bool) -> bool:
    """Whether the mount is taken away. In the namespace of another process that may be forbidden, here it is an error.

    Busy if it is used, unless `lazy`."""
    try:
        sighting.run(partial(mounting.unmount, Path(one.mountpoint), lazy=lazy))
    except NotFound:
        # The kernel's answer for a locked mount as well.
        return False
    except Busy:
        raise
    except OutcropError:
        if sighting.process is None:
            raise
        return False
    return True


def _sightings(place: TransactionPlace, mounting: Mounting) -> Iterator[_Sighting]:
    """Where mounts of the transaction show, each mount namespace once; this process's own first, if there are any."""
    seen = {mount_namespace()}
    found = _ours(place, mounting.mounts())
    if found:
        yield _Sighting(None, found)
    for name in sorted(filter(str.isdecimal, os.listdir("/proc")), key=int):
        process = int(name)
        namespace = mount_namespace(process)
        if namespace is None or namespace in seen:
            continue
        try:
            found = _ours(place, mounting.mounts(process))
        except OSError:
            continue
        seen.add(namespace)
        if found:
            yield _Sighting(process, found)


def _ours(place: TransactionPlace, mounts: Sequence[MountedAt]) -> tuple[MountedAt, ...]:
    inside = f"{_real(place.directory)}/"
    return tuple(one for one in mounts if _is_view(one, place) or one.mountpoint.startswith(inside))


def _is_view(one: MountedAt, place: TransactionPlace) -> bool:
    # fuse-overlayfs calls its source as it likes; the kernel takes the word for it.
    return one.source == str(_real(place.directory)) or (
        one.mountpoint == str(_real(place.view)) and one.type in _OVERLAY_TYPES
    )


def _real(path: Path) -> Path:
    """`path` as the kernel lists mounts, also where nobody serves any more what is mounted there."""
    return Path(os.path.realpath(path))


_OVERLAY_TYPES = frozenset({"overlay", "fuse.fuse-overlayfs"})


def _type_of_file_system(path: Path, mounting: Mounting) -> str:
    """What people call the file system that `path` lies on."""
    real = os.path.realpath(path)
    above = [one for one in mounting.mounts() if f"{real}/".startswith(f"{one.mountpoint.rstrip('/')}/")]
    return max(above, key=lambda one: len(one.mountpoint)).type if above else "its file system"


def _wait_for_program(place: TransactionPlace) -> None:
    """Waits until fuse-overlayfs has written everything and ended."""
    if not place.view_lock.exists():
        return
    try:
        with exclusive(place.view_lock, f"the view of {place.name}", wait_seconds=END_SECONDS):
            return
    except Busy as error:
        raise _still_served(place) from error


def _still_served(place: TransactionPlace) -> Busy:
    return Busy(
        what=f"the transaction {place.name}",
        holder="fuse-overlayfs, which has not ended yet",
        hint="end the programs that have files of the view open, then try again",
    )
