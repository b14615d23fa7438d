"""Plans a relocation: looks through a whole tree and says what changes where, without changing anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from outcrop.client.relocate.changes import (
    NOTHING,
    Change,
    Examined,
    Finding,
    PlaceKind,
    Reason,
    counted_places,
)
from outcrop.client.relocate.entries import Entries, TreeFile, read_entries
from outcrop.client.relocate.examine import examine, examine_link, hashed_bytecode
from outcrop.client.relocate.places import Data
from outcrop.client.relocate.prefix import Prefix, check_room
from outcrop.client.relocate.reading import opened
from outcrop.client.relocate.record import Record, load_record
from outcrop.client.relocate.rewrite import restored, state_of
from outcrop.client.relocate.workers import batches, in_order, worthwhile_workers
from outcrop.errors import InvalidValue, NotFound, storage_error
from outcrop.progress import SILENT, Progress


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A change, the prefix that its places hold now (None where they hold several), all names of the file, and whether
    the file has names outside of the tree."""

    change: Change
    before: Prefix | None
    names: tuple[bytes, ...]
    has_other_names: bool = False


@dataclass(frozen=True, slots=True)
class RelocationPlan:
    """What takes `tree`, built for `original`, to `target`.

    `states`: the prefixes that its places may hold now. `unfinished`: what a killed relocation left, to be removed.
    `files` and `size` (bytes): what was looked through."""

    tree: Path
    original: Prefix
    target: Prefix
    states: tuple[Prefix, ...]
    changes: tuple[PlannedChange, ...]
    findings: tuple[Finding, ...]
    unfinished: tuple[bytes, ...]
    files: int
    size: int

    @property
    def pending(self) -> tuple[PlannedChange, ...]:
        """The changes that are not made yet."""
        return tuple(planned for planned in self.changes if planned.before != self.target)

    @property
    def counts(self) -> dict[PlaceKind, int]:
        """How many places of each kind change, or have changed."""
        return counted_places(planned.change for planned in self.changes)


@dataclass(frozen=True, slots=True)
class _Job:
    """A file to look through, and what a record says of it."""

    path: bytes
    size: int
    recorded: Change | None


@dataclass(frozen=True, slots=True)
class _Answer:
    path: bytes
    examined: Examined
    before: Prefix | None


def plan_relocation(
    tree: Path,
    original: Prefix | None,
    target: Prefix,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
) -> RelocationPlan:
    """What changes when `tree`, built for the prefix `original`, is to run at `target`.

    A tree that was relocated before says itself what it was built for; then `original` may be None, or be that or the
    prefix that it has now. Raises InvalidValue (a target that is too long, a wrong or missing original), NotFound,
    StorageError, FormatError (a damaged record).
    """
    _check_directory(tree)
    record = load_record(tree)
    built_for = _built_for(tree, original, target, record)
    check_room(built_for, target)
    entries = read_entries(tree)
    states = tuple(dict.fromkeys((*record.states, built_for))) if record else (built_for,)
    recorded = {change.path: change for change in record.changes} if record else {}
    links = _examined_links(tree, entries, recorded, built_for, states)
    files = _examined_files(tree, entries, recorded, built_for, states, progress, workers)
    by_path = {file.path: file for file in entries.files}
    answers = sorted((*links, *files), key=lambda answer: answer.path)
    return RelocationPlan(
        tree,
        built_for,
        target,
        states,
        tuple(_planned(answer, by_path.get(answer.path)) for answer in answers if answer.examined.change),
        _findings(answers),
        tuple(entries.unfinished),
        len(entries.files),
        entries.size,
    )


def examine_tree(tree: Path, original: Prefix, progress: Progress = SILENT) -> dict[bytes, Examined]:
    """The files and links of `tree` that hold `original` in any way that can be seen, whatever a record says."""
    entries = read_entries(tree)
    links = _examined_links(tree, entries, {}, original, (original,))
    files = _examined_files(tree, entries, {}, original, (original,), progress, None)
    return {answer.path: answer.examined for answer in sorted((*links, *files), key=lambda answer: answer.path)}


def _check_directory(tree: Path) -> None:
    """Refuses what is no directory, before anything is asked of it."""
    hint = "name the directory of a copied tree; `outcrop checkout REPO DIR` makes one"
    try:
        mode = tree.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(what=f"the directory {tree}", hint=hint) from error
    except OSError as error:
        raise storage_error(error) from error
    if not stat.S_ISDIR(mode):
        raise InvalidValue(what=str(tree), problem="is not a directory", hint=hint)


def _built_for(tree: Path, original: Prefix | None, target: Prefix, record: Record | None) -> Prefix:
    if record is None:
        if original is None:
            raise InvalidValue(
                what=str(tree),
                problem="does not say for which prefix it was built",
                hint="add `--from /cvmfs/REPOSITORY`",
            )
        if original == target:
            raise InvalidValue(
                what=str(target), problem="is where the tree was built for already", hint="name another prefix"
            )
        return original
    if original is not None and original not in (record.original, *record.states):
        raise InvalidValue(
            what=f"the prefix {original}",
            problem=f"is not the one of {tree}, which was built for {record.original} and relocated to "
            f"{record.current}",
            hint="leave `--from` away: the tree knows",
        )
    return record.original


def _planned(answer: _Answer, file: TreeFile | None) -> PlannedChange:
    assert answer.examined.change is not None
    if file is None:
        return PlannedChange(answer.examined.change, answer.before, (answer.path,))
    return PlannedChange(answer.examined.change, answer.before, tuple(file.names), file.has_other_names)


def _findings(answers: Iterable[_Answer]) -> tuple[Finding, ...]:
    """All findings; bytecode that is known by a hash matters only where its source changes."""
    answers = tuple(answers)
    changed = {answer.path for answer in answers if answer.examined.change}
    return tuple(
        finding
        for answer in answers
        for finding in answer.examined.findings
        if finding.reason is not Reason.HASHED_BYTECODE or _source_of(finding.path) in changed
    )


def _source_of(bytecode: bytes) -> bytes:
    """The source of the bytecode file `bytecode` (PEP 3147, and the older place beside the source)."""
    directory, name = os.path.split(bytecode)
    if os.path.basename(directory) == b"__pycache__":
        directory = os.path.dirname(directory)
    return os.path.join(directory, name.split(b".", 1)[0] + b".py")


def _examined_links(
    tree: Path, entries: Entries, recorded: dict[bytes, Change], original: Prefix, states: tuple[Prefix, ...]
) -> list[_Answer]:
    answers = []
    top = os.fsencode(tree)
    for path in entries.links:
        try:
            target = os.readlink(os.path.join(top, path))
        except OSError as error:
            raise storage_error(error) from error
        built, before = _as_built(target, recorded.get(path), original, states)
        examined = examine_link(path, bytes(built[:]), os.path.dirname(path), original)
        if examined is not NOTHING:
            answers.append(_Answer(path, examined, before))
    return answers


def _examined_files(
    tree: Path,
    entries: Entries,
    recorded: dict[bytes, Change],
    original: Prefix,
    states: tuple[Prefix, ...],
    progress: Progress,
    workers: int | None,
) -> list[_Answer]:
    jobs = list(
        batches((_Job(file.path, file.size, recorded.get(file.path)) for file in entries.files), lambda job: job.size)
    )
    number = workers or worthwhile_workers(len(entries.files), entries.size)
    progress.start("Looking through files", entries.size, "bytes")
    answers: list[_Answer] = []
    work = partial(_examine_batch, os.fsencode(tree), original, states)
    for job, some in zip(jobs, in_order(work, jobs, number), strict=True):
        answers += some
        progress.advance(sum(one.size for one in job), os.fsdecode(job[-1].path))
    progress.finish()
    return answers


def _examine_batch(tree: bytes, original: Prefix, states: tuple[Prefix, ...], jobs: tuple[_Job, ...]) -> list[_Answer]:
    """What each file of `jobs` asks for, without those that ask for nothing. Runs in processes of its own."""
    answers = []
    try:
        for job in jobs:
            answer = _examine_file(tree, original, states, job)
            if answer.examined is not NOTHING:
                answers.append(answer)
    except OSError as error:
        raise storage_error(error) from error
    return answers


def _examine_file(tree: bytes, original: Prefix, states: tuple[Prefix, ...], job: _Job) -> _Answer:
    path = os.path.join(tree, job.path)
    with opened(path) as data:
        built, before = _as_built(data, job.recorded, original, states)
        compiled = path.endswith(b".py") and built.find(original.path) >= 0 and _is_compiled(path)
        examined = examine(job.path, built, original, compiled=compiled)
        if job.recorded is not None and built is not data:
            # What was changed once is what changes again, whatever other rules find by now.
            examined = Examined(job.recorded, examined.findings)
        if examined.change is not None and job.path.endswith(b".pyc") and hashed_bytecode(built):
            hashed = Finding(job.path, Reason.HASHED_BYTECODE)
            examined = Examined(examined.change, (*examined.findings, hashed))
    return _Answer(job.path, examined, before)


def _as_built(
    data: Data, recorded: Change | None, original: Prefix, states: tuple[Prefix, ...]
) -> tuple[Data, Prefix | None]:
    """`data` as it was built, and the prefix that it has now (None: several). What a record does not know, or knows
    otherwise, is as it was built."""
    if recorded is None:
        return data, original
    built = restored(data, recorded, original, states)
    if built is None:
        return data, original
    return built, state_of(data, recorded, original, states)


def _is_compiled(path: bytes) -> bool:
    """Whether there is bytecode of the Python source `path`."""
    directory, name = os.path.split(path)
    if os.path.exists(path + b"c") or os.path.exists(path + b"o"):
        return True
    stem = name.removesuffix(b"py")
    try:
        return any(one.startswith(stem) for one in os.listdir(os.path.join(directory, b"__pycache__")))
    except OSError:
        return False
