"""Repair: what a check found gone or altered is fetched from mirrors, proved, and put in its place.

An object is proved by its name: bytes with that digest are what was published. So a mirror need not be trusted, only
tried: one that lies, lacks the object or never stops sending costs time and changes nothing. Damaged bytes stay until
the good ones are there. A repaired catalog shows what is damaged below it, so that checks and fetches take turns until
nothing new comes up. No earlier check can have looked at the contents below such a catalog, so all of them are read.

The contents of files that no mirror has come back when they are published again: what was found damaged or gone makes
the publisher forget what it believes to be stored. It writes no object over one that is there, so those that are
altered have to be taken away for that, which is done only if it is asked for: their bytes may be the last there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.digest import Hasher
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, OutcropError
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import DEFAULT_READ_LIMIT, ReadableStore, Wanted
from outcrop.stratum0.check.memory import Memory
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.problems import Kind, Problem, Severity
from outcrop.stratum0.check.report import CheckReport, Depth
from outcrop.stratum0.check.repository import CheckRequest, check_repository
from outcrop.stratum0.repair.hidden import problems_below
from outcrop.stratum0.repair.repair_signed import (
    MirroredManifest,
    NoHealthyCopy,
    newer_manifest,
    restore_manifest,
    restore_reflog,
    restore_whitelist,
    take_newer_manifest,
)
from outcrop.stratum0.repository import OwnedRepository

_ALLOWANCE_BYTES = 64 * 1024
"""How much longer than twice its contents an object may be: any encoder does far better."""

_AT_ONCE_BYTES = 128 * 1024 * 1024
"""How many bytes of objects may be on their way at once, at most."""


class Action(Enum):
    """What is done about one file; the value is what people read."""

    FETCH = "fetch"
    REMOVE = "remove"
    RESTORE = "restore"
    TAKE_NEWER = "take"


@dataclass(frozen=True, slots=True)
class Step:
    """One file to mend, and why."""

    action: Action
    problem: Problem

    @property
    def name(self) -> str:
        return self.problem.name

    @property
    def is_content(self) -> bool:
        """Whether the file holds what files of the repository hold, so that publishing these again brings it back."""
        return _kind(self) in (ObjectKind.FILE, ObjectKind.CHUNK)

    @property
    def is_altered_content(self) -> bool:
        """Whether it also keeps that from happening, since it is there with other bytes."""
        return self.is_content and self.problem.kind is Kind.ALTERED


@dataclass(frozen=True, slots=True)
class Mended:
    """A file that is whole again; `source` is the mirror's address, or says how else."""

    step: Step
    source: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that could not be mended, and what each mirror had to say."""

    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class RepairOutcome:
    """What was done, what could not be, and what a check says now. Of a plan, `planned` alone is filled: more may come
    up below a catalog that is damaged.

    `discarded` are altered objects that no mirror had, and which were taken away. `behind` says that a mirror has a
    newer revision, which was not taken."""

    planned: tuple[Step, ...]
    mended: tuple[Mended, ...]
    failed: tuple[Failed, ...]
    report: CheckReport
    discarded: tuple[Step, ...] = ()
    behind: Problem | None = None


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """What to repair from: `mirrors` in the order in which they are tried. `suspects` are names of objects that are
    read in full whatever the depth. `newer` takes a newer revision that a mirror has. `discard_altered` takes altered
    contents of files away that no mirror has."""

    mirrors: Sequence[ReadableStore]
    depth: Depth = Depth.EXISTENCE
    suspects: frozenset[str] = frozenset()
    newer: bool = False
    discard_altered: bool = False


def plan_repair(report: CheckReport) -> tuple[Step, ...]:
    """What can be done about the problems in `report`: signed files first, then catalogs, then all other objects."""
    return _steps_for(report.problems)


def _steps_for(problems: Iterable[Problem]) -> tuple[Step, ...]:
    steps: dict[str, Step] = {}
    for problem in problems:
        action = _action(problem)
        if action is not None:
            steps.setdefault(problem.name, Step(action, problem))
    return tuple(sorted(steps.values(), key=_order))


def _action(problem: Problem) -> Action | None:
    if problem.kind is Kind.ALTERED_LEFTOVER:
        return Action.REMOVE
    damaged = problem.severity is Severity.DAMAGE
    if problem.object is not None:
        return Action.FETCH if damaged else None
    restorable = {
        MANIFEST_NAME: damaged or problem.kind in (Kind.SIGNATURE, Kind.OTHER_NAME),
        WHITELIST_NAME: damaged or problem.kind is Kind.WHITELIST,
        REFLOG_NAME: damaged or problem.kind is Kind.REFLOG,
    }
    return Action.RESTORE if restorable.get(problem.name, False) else None


def _order(step: Step) -> tuple[bool, int, bool, str]:
    files = (WHITELIST_NAME, MANIFEST_NAME, REFLOG_NAME)
    place = files.index(step.name) if step.name in files else len(files)
    name = step.problem.object
    return step.action is Action.REMOVE, place, name is None or name.kind is not ObjectKind.CATALOG, step.name


def planned_repair(
    repository: OwnedRepository,
    request: RepairRequest,
    now: datetime,
    *,
    memory: Memory | None = None,
    progress: Progress = SILENT,
) -> RepairOutcome:
    """What `repair` would begin with. Nothing is changed, and of mirrors only the manifest is read."""
    newer = newer_manifest(repository, request.mirrors)
    report = check_repository(
        repository.store,
        trusted_by(repository, now),
        CheckRequest(request.depth, suspects=request.suspects),
        memory=memory,
        progress=progress,
    )
    behind = _behind(newer) if newer is not None else None
    first = (Step(Action.TAKE_NEWER, behind),) if behind is not None and request.newer else ()
    return RepairOutcome((*first, *plan_repair(report)), (), (), report, behind=None if first else behind)


def repair(
    repository: OwnedRepository,
    request: RepairRequest,
    now: datetime,
    *,
    memory: Memory | None = None,
    progress: Progress = SILENT,
) -> RepairOutcome:
    """Mends what can be mended. Nothing that is whole is touched; a crash leaves every file old or mended."""
    work = _Repair(repository, request, now, progress)
    with repository.writing_objects():
        work.look_for_newer()
        # What is damaged among catalogs comes to light without reading contents, level by level.
        work.until_nothing_new(Depth.EXISTENCE, None)
        if request.depth is Depth.CONTENT:
            if memory is not None and work.catalogs_that_came_back():
                # A check that was interrupted took what they refer to for leftovers.
                memory.end()
            work.until_nothing_new(Depth.CONTENT, memory)
        else:
            work.read_what_was_hidden()
        repository.store.sync()
    work.remove_altered()
    work.forget_what_was_damaged()
    return work.outcome()


class _Repair:
    """One run."""

    def __init__(self, repository: OwnedRepository, request: RepairRequest, now: datetime, progress: Progress) -> None:
        self._repository = repository
        self._request = request
        self._now = now
        self._progress = progress
        self._suspects = request.suspects
        self._steps: dict[str, Step] = {}
        self._mended: list[Mended] = []
        self._failed: list[Failed] = []
        self._discarded: list[Step] = []
        self._behind: Problem | None = None

    def look_for_newer(self) -> None:
        """Takes the newest revision that a mirror has, if it is newer than ours and that is asked for."""
        repository, mirrors = self._repository, self._request.mirrors
        newer = newer_manifest(repository, mirrors)
        if newer is None:
            return
        behind = _behind(newer)
        if not self._request.newer:
            self._behind = behind
            return
        take_newer_manifest(repository, newer)
        self._steps[MANIFEST_NAME] = step = Step(Action.TAKE_NEWER, behind)
        self._mended.append(Mended(step, newer.address))

    def until_nothing_new(self, depth: Depth, memory: Memory | None) -> None:
        """Checks and mends in turns, until a check finds nothing that was not tried."""
        while True:
            report = self._check(depth, self._suspects, memory)
            steps = self._take_up(report.problems)
            for step in steps:
                if step.action is Action.RESTORE:
                    self._restore(step)
            fetched = [step for step in steps if step.action is Action.FETCH]
            self._fetch(fetched)
            catalogs = any(_kind(step) in (ObjectKind.CATALOG, ObjectKind.HISTORY) for step in fetched)
            restored = any(step.action is Action.RESTORE for step in steps)
            if not catalogs and not restored:
                return

    def catalogs_that_came_back(self) -> tuple[CatalogReference, ...]:
        """The catalogs that no check could read before this run.

        Those that only a newer revision has were never damaged: what is below them was stored by the older ones, or is
        fetched."""
        has_newer = any(step.action is Action.TAKE_NEWER for step in self._steps.values())
        found = []
        for step in (mended.step for mended in self._mended):
            name, path = step.problem.object, step.problem.path
            is_new = has_newer and step.problem.kind is Kind.MISSING
            if name is not None and name.kind is ObjectKind.CATALOG and path is not None and not is_new:
                found.append(CatalogReference(path, name.digest, step.problem.size or 0))
        return tuple(found)

    def read_what_was_hidden(self) -> None:
        """Reads and mends all contents below the catalogs that came back."""
        catalogs = self.catalogs_that_came_back()
        if not catalogs:
            return
        problems = problems_below(self._repository.store, catalogs, self._progress)
        # What cannot be mended is told as well, by the last check.
        self._suspects |= {problem.name for problem in problems}
        self._fetch(self._take_up(problems))

    def _take_up(self, problems: Iterable[Problem]) -> list[Step]:
        """What is to be done about `problems` and was not tried; from now on it counts as tried."""
        steps = [step for step in _steps_for(problems) if not self._is_tried(step)]
        self._steps.update((step.name, step) for step in steps)
        return steps

    def _is_tried(self, step: Step) -> bool:
        known = self._steps.get(step.name)
        if known is None:
            return False
        # What seemed to be a leftover while the catalog that refers to it was damaged has to be fetched.
        return known.action is not Action.REMOVE or step.action is Action.REMOVE

    def remove_altered(self) -> None:
        """Takes damaged objects away that nothing refers to, while nobody may come to refer to them; also contents of
        files that no mirror has, if that is asked for."""
        steps = [step for step in self._steps.values() if step.action is Action.REMOVE]
        if self._request.discard_altered:
            steps += [failed.step for failed in self._failed if failed.step.is_altered_content]
        if not steps:
            return
        with self._repository.removing_objects():
            # Somebody may have published since: what is referred to now is not for removal.
            suspects = frozenset(step.name for step in steps)
            report = self._check(Depth.EXISTENCE, suspects, None)
            leftovers = _names_of(report, Kind.ALTERED_LEFTOVER)
            altered = leftovers | _names_of(report, Kind.ALTERED)
            for step in steps:
                if step.action is Action.REMOVE and step.name in leftovers:
                    self._repository.store.remove(step.name)
                    self._mended.append(Mended(step, "removed"))
                elif step.action is Action.FETCH and step.name in altered:
                    self._repository.store.remove(step.name)
                    self._discarded.append(step)

    def forget_what_was_damaged(self) -> None:
        """Makes the publisher look at everything anew, if anything was not as it was stored."""
        if self._steps:
            self._repository.forget_contents()

    def outcome(self) -> RepairOutcome:
        suspects = self._suspects | {name for name in self._steps if _is_object(name)}
        report = self._check(Depth.EXISTENCE, suspects, None)
        return RepairOutcome(
            tuple(self._steps.values()),
            tuple(self._mended),
            tuple(self._failed),
            report,
            tuple(self._discarded),
            self._behind,
        )

    def _check(self, depth: Depth, suspects: frozenset[str], memory: Memory | None) -> CheckReport:
        return check_repository(
            self._repository.store,
            trusted_by(self._repository, self._now),
            CheckRequest(depth, suspects=suspects),
            memory=memory,
            progress=self._progress,
        )

    def _restore(self, step: Step) -> None:
        restore = {MANIFEST_NAME: restore_manifest, WHITELIST_NAME: restore_whitelist, REFLOG_NAME: restore_reflog}
        try:
            source = restore[step.name](self._repository, self._request.mirrors, self._now)
        except NoHealthyCopy as error:
            self._failed.append(Failed(step, error.message))
        else:
            self._mended.append(Mended(step, source))

    def _fetch(self, steps: list[Step]) -> None:
        if not steps:
            return
        self._progress.start("fetching objects", len(steps), unit="objects")
        reasons: dict[str, list[str]] = {step.name: [] for step in steps}
        left = steps
        for mirror in self._request.mirrors:
            for batch in list(_batches(left)):
                self._fetch_from(mirror, batch, reasons)
            done = {mended.step.name for mended in self._mended}
            left = [step for step in left if step.name not in done]
        for step in left:
            said = "; ".join(reasons[step.name]) or "there is no mirror to fetch it from"
            self._failed.append(Failed(step, said))
        self._progress.finish()

    def _fetch_from(self, mirror: ReadableStore, steps: list[Step], reasons: dict[str, list[str]]) -> None:
        """Puts what `mirror` has of `steps` into the store; `reasons` take up why it is not all."""
        by_name = {step.name: step for step in steps}
        for fetched in mirror.fetch([Wanted(step.name, _Body(step)) for step in steps]):
            step, body = by_name[fetched.wanted.name], fetched.wanted.sink
            assert isinstance(body, _Body)
            wrong = fetched.error or body.wrong()
            if wrong is not None:
                reasons[step.name].append(f"{mirror.address}: {wrong.fields.get('problem') or wrong.message}")
                continue
            if step.problem.kind is Kind.MISSING:
                self._repository.store.write(step.name, bytes(body.data))
            else:
                self._repository.store.replace(step.name, bytes(body.data))
            self._mended.append(Mended(step, mirror.address))
            self._progress.advance(1, step.name)


class _Body:
    """Takes in one object from a mirror, and no more than it can have."""

    def __init__(self, step: Step) -> None:
        name = step.problem.object
        assert name is not None, "only objects are fetched"
        self._name = name
        self._limit = limit_of(step)
        self._hasher = Hasher(name.digest.algorithm)
        self.data = bytearray()

    def write(self, piece: bytes) -> None:
        if len(self.data) + len(piece) > self._limit:
            self.data.clear()
            raise IntegrityError(what=str(self._name), problem=f"sends more than {self._limit} bytes")
        self._hasher.update(piece)
        self.data += piece

    def wrong(self) -> OutcropError | None:
        """The error that the bytes are, now that all have come; None if they are the object."""
        if self._hasher.digest() == self._name.digest:
            return None
        return IntegrityError(what=str(self._name), problem="sends other bytes")


def limit_of(step: Step) -> int:
    """How many bytes the object of `step` can have as it is stored."""
    if step.problem.size is None:
        return DEFAULT_READ_LIMIT
    return 2 * step.problem.size + _ALLOWANCE_BYTES


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    size = 0
    for step in steps:
        if batch and size + limit_of(step) > _AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += limit_of(step)
    if batch:
        yield batch


def _behind(newer: MirroredManifest) -> Problem:
    detail = f"the mirror {newer.address} is at revision {newer.manifest.revision}, which is newer"
    return Problem(Kind.BEHIND, detail, name=MANIFEST_NAME)


def _names_of(report: CheckReport, kind: Kind) -> frozenset[str]:
    return frozenset(problem.name for problem in report.problems if problem.kind is kind)


def _kind(step: Step) -> ObjectKind | None:
    name = step.problem.object
    return None if name is None else name.kind


def _is_object(name: str) -> bool:
    try:
        ObjectName.parse(name)
    except FormatError:
        return False
    return True
