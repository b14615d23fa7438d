"""Relocates a tree in place, so that an interruption at any moment leaves one that can be relocated."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from outcrop.client.relocate.change_file import FileChanger
from outcrop.client.relocate.changes import PlaceKind, Style
from outcrop.client.relocate.entries import UNFINISHED
from outcrop.client.relocate.plan import PlannedChange, RelocationPlan
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.record import RECORD_NAME, Record, encode_record
from outcrop.client.relocate.workers import batches, in_order, worthwhile_workers
from outcrop.errors import AlreadyExists, storage_error
from outcrop.progress import SILENT, Progress

_RECORD_MODE = 0o644


def relocate(
    plan: RelocationPlan, progress: Progress = SILENT, *, link: Prefix | None = None, workers: int | None = None
) -> Record | None:
    """Does what `plan` says; returns the record of it, None where the tree is again as it was built.

    Nothing may run from the tree or write to it meanwhile. `link`, if given, is the plan's target; it is noted in the
    record as a link to the tree. Raises StorageError, and IntegrityError for a file that is not as it was planned; the
    same call goes on from there.
    """
    changes = tuple(planned.change for planned in plan.changes)
    begun = Record(plan.original, tuple(dict.fromkeys((*plan.states, plan.target))), changes, plan.findings, link)
    done = Record(plan.original, (plan.target,), changes, plan.findings, link)
    top = os.fsencode(plan.tree)
    pending = plan.pending
    age = plan.tree.stat().st_mtime_ns
    try:
        with _directories_kept(top, _directories_of(plan)):
            for path in plan.unfinished:
                os.unlink(os.path.join(top, path))
            if pending:
                _write_record(plan.tree, encode_record(begun), age)
                _change_files(plan, pending, progress, workers)
            if plan.target == plan.original:
                with suppress(FileNotFoundError):
                    os.unlink(plan.tree / RECORD_NAME)
            else:
                _write_record(plan.tree, encode_record(done), age)
    except OSError as error:
        raise storage_error(error) from error
    return None if plan.target == plan.original else done


def check_link(link: Prefix, place: Path) -> bool:
    """Whether `link` is a link to `place` already. AlreadyExists if it is anything else."""
    path = Path(str(link))
    if path.is_symlink() and path.resolve() == place.resolve():
        return True
    if os.path.lexists(path):
        raise AlreadyExists(what=str(link), hint="name another path for the link, or take away what is there")
    return False


def make_link(link: Prefix, place: Path) -> None:
    """Makes the symbolic link `link` to `place`, unless it is there. Raises AlreadyExists, StorageError."""
    if check_link(link, place):
        return
    try:
        Path(str(link)).symlink_to(place.absolute())
    except OSError as error:
        raise storage_error(error, str(link)) from error


def _change_files(
    plan: RelocationPlan, pending: tuple[PlannedChange, ...], progress: Progress, workers: int | None
) -> None:
    size = sum(map(_written, pending))
    jobs = list(batches(pending, _written))
    progress.start("Changing files", len(pending), "files")
    work = partial(_change_batch, os.fsencode(plan.tree), plan.original, plan.states, plan.target)
    number = workers or worthwhile_workers(len(pending), size)
    for job, _ in zip(jobs, in_order(work, jobs, number), strict=True):
        progress.advance(len(job), os.fsdecode(job[-1].change.path))
    progress.finish()


def _written(planned: PlannedChange) -> int:
    """About how many bytes a change writes."""
    return planned.change.size if planned.change.style is Style.EXACT else 0


def _change_batch(
    tree: bytes, original: Prefix, states: tuple[Prefix, ...], target: Prefix, changes: tuple[PlannedChange, ...]
) -> None:
    """Makes some changes. Runs in processes of its own."""
    changer = FileChanger(tree, original, states, target)
    try:
        for planned in changes:
            changer.change(planned)
    except OSError as error:
        raise storage_error(error) from error


def _directories_of(plan: RelocationPlan) -> set[bytes]:
    """The directories in which a name is given or taken, the top among them for the record."""
    directories = {b"", *map(os.path.dirname, plan.unfinished)}
    for planned in plan.pending:
        directories |= {os.path.dirname(name) for name in planned.names}
    return directories


@contextmanager
def _directories_kept(top: bytes, directories: set[bytes]) -> Iterator[None]:
    """Within the block `directories` can be written to; afterwards they are as old, and as closed, as before."""
    before = {path: os.lstat(path) for path in (os.path.join(top, directory) for directory in sorted(directories))}
    try:
        for path, status in before.items():
            if not status.st_mode & stat.S_IWUSR:
                os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
        yield
    finally:
        for path, status in before.items():
            os.chmod(path, stat.S_IMODE(status.st_mode))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _write_record(tree: Path, content: bytes, age: int) -> None:
    """The record is there as a whole or as it was; it is as old as the tree (nanoseconds), so that equal trees have
    equal records."""
    new = tree / f"{os.fsdecode(UNFINISHED)}{os.getpid()}"
    try:
        with open(new, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(new, _RECORD_MODE)
        os.utime(new, ns=(age, age))
        os.rename(new, tree / RECORD_NAME)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise


def files_by_kind(plan: RelocationPlan) -> dict[PlaceKind, int]:
    """How many files have places of each kind."""
    kinds = dict.fromkeys(PlaceKind, 0)
    for planned in plan.changes:
        for kind in planned.change.counts():
            kinds[kind] += 1
    return {kind: number for kind, number in kinds.items() if number}
