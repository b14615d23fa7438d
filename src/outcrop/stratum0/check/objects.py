"""Every object that is referred to, and every file that is stored: directory by directory, on several cores.

Hashing and inflating let go of the interpreter's lock. Workers get small objects by the batch and large ones one by
one; a bounded number of batches waits. A directory is done when all its batches are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from outcrop.cvmfs.objects import ObjectName
from outcrop.errors import FormatError, NetworkError, NotFound, OutcropError
from outcrop.progress import Progress
from outcrop.storage.interface import ReadableStore, Wanted
from outcrop.stratum0.check.contents import Proof, problem_of
from outcrop.stratum0.check.listing import Listing
from outcrop.stratum0.check.memory import DirectoryOutcome, Memory
from outcrop.stratum0.check.problems import Kind, Problem
from outcrop.stratum0.check.references import Claim, Directory, References
from outcrop.stratum0.check.report import Depth

BATCH_BYTES = 4 * 1024 * 1024
BATCH_OBJECTS = 128
"""What one worker is handed at once: less costs switching, more lets the others wait at the end."""

MAXIMUM_WORKERS = 6
"""More than these wait for the interpreter's lock, and each may hold an object of 16 MiB and what it inflates to."""

_WAITING_BATCHES = 8
"""How many batches a worker has before it: their objects are only names until they are read."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Objects under way, with how much progress they are."""

    problems: Future[list[Problem]]
    amount: int


@dataclass(slots=True)
class _Directory:
    """A directory under way. `amount` is the progress that it is beside its batches."""

    prefix: str
    problems: list[Problem]
    unreferenced: int
    amount: int
    batches: list[_Batch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """A check of all objects of `store`. `listing` is None where the store cannot list.

    `suspects` are read in full in any case."""

    store: ReadableStore
    references: References
    listing: Listing | None
    depth: Depth
    suspects: frozenset[str] = frozenset()
    workers: int = 0

    def run(
        self, memory: Memory, done: Callable[[str], DirectoryOutcome | None], progress: Progress
    ) -> Iterator[DirectoryOutcome]:
        """Gives the outcome of each directory, also of those that `done` has from an earlier run."""
        workers = self.workers or min(MAXIMUM_WORKERS, os.cpu_count() or 1)
        under_way: deque[_Directory] = deque()
        waiting = 0
        pool = ThreadPoolExecutor(workers, "check")
        try:
            for referred in self.references.directories():
                earlier = done(referred.prefix)
                if earlier is not None:
                    progress.advance(sum(map(self._amount, referred.claims)))
                    yield earlier
                    continue
                directory = self._directory(referred, pool)
                under_way.append(directory)
                waiting += len(directory.batches)
                while under_way and (not under_way[0].batches or waiting > workers * _WAITING_BATCHES):
                    waiting -= len(under_way[0].batches)
                    yield self._finished(under_way.popleft(), memory, progress)
            while under_way:
                yield self._finished(under_way.popleft(), memory, progress)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _finished(directory: _Directory, memory: Memory, progress: Progress) -> DirectoryOutcome:
        for batch in directory.batches:
            directory.problems += batch.problems.result()
            progress.advance(batch.amount)
        progress.advance(directory.amount)
        outcome = DirectoryOutcome(tuple(directory.problems), directory.unreferenced)
        memory.done(directory.prefix, outcome)
        return outcome

    def _directory(self, referred: Directory, pool: ThreadPoolExecutor) -> _Directory:
        present, leftovers, problems = self._compared(referred)
        if self.depth is Depth.EXISTENCE and not self.suspects:
            return _Directory(referred.prefix, problems, len(leftovers), len(referred.claims))
        read = present
        if self.depth is Depth.EXISTENCE:
            read = [claim for claim in present if claim.name in self.suspects]
            leftovers_read = [name for name in leftovers if name in self.suspects]
        else:
            leftovers_read = leftovers
        batches = [
            _Batch(pool.submit(self._verified, batch), sum(map(self._amount, batch))) for batch in _batches(read)
        ]
        rest = sum(map(self._amount, referred.claims)) - sum(batch.amount for batch in batches)
        for batch in _batches([_leftover(name) for name in leftovers_read]):
            batches.append(_Batch(pool.submit(self._verified_leftovers, batch), 0))
        return _Directory(referred.prefix, problems, len(leftovers), rest, batches)

    def _compared(self, referred: Directory) -> tuple[list[Claim], list[str], list[Problem]]:
        """The claims whose objects are there, the objects that nothing refers to, and what is wrong with the rest."""
        claims = referred.claims
        if self.listing is None:
            if self.depth is Depth.CONTENT:
                return claims, [], []
            found = {claim.name for claim in claims if self.store.exists(claim.name)}
            others: tuple[str, ...] = ()
        else:
            stored = self.listing.directory(referred.prefix)
            found, others = set(stored.files), stored.others
        problems = [Problem(Kind.STRAY, "is no file", name=name) for name in others]
        problems += [problem_of(claim, Kind.MISSING, "is missing") for claim in claims if claim.name not in found]
        leftovers = []
        claimed = {claim.name for claim in claims} | {claim.name for claim in referred.unread}
        for name in sorted(found - claimed - referred.read):
            if _is_object(name):
                leftovers.append(name)
            else:
                problems.append(Problem(Kind.STRAY, "is no object", name=name))
        return [claim for claim in (*claims, *referred.unread) if claim.name in found], leftovers, problems

    def _amount(self, claim: Claim) -> int:
        """How much progress one object is."""
        return (claim.size or 0) if self.depth is Depth.CONTENT else 1

    def _verified(self, claims: list[Claim]) -> list[Problem]:
        problems = []
        for fetched in self.store.fetch(Wanted(claim.name, Proof(claim)) for claim in claims):
            proof = fetched.wanted.sink
            assert isinstance(proof, Proof)
            problem = proof.problem() if fetched.error is None else _failure(proof.claim, fetched.error)
            if problem is not None:
                problems.append(problem)
        return problems

    def _verified_leftovers(self, claims: list[Claim]) -> list[Problem]:
        """A damaged object that nothing refers to is a trap: the next publisher of that content takes it for good."""
        return [
            Problem(Kind.ALTERED_LEFTOVER, f"{problem.detail}; nothing refers to it yet", name=problem.name)
            for problem in self._verified(claims)
            if problem.kind is not Kind.MISSING
        ]


def _leftover(name: str) -> Claim:
    digest = ObjectName.parse(name).digest
    return Claim(name, digest.raw, digest.algorithm)


def _failure(claim: Claim, error: OutcropError) -> Problem:
    if isinstance(error, NetworkError):
        raise error
    if isinstance(error, NotFound):
        return problem_of(claim, Kind.MISSING, "is missing")
    return problem_of(claim, Kind.UNREADABLE, str(error.fields.get("problem", error)))


def _batches(claims: list[Claim]) -> Iterator[list[Claim]]:
    """Claims, in their order, handed over many small ones at a time."""
    batch: list[Claim] = []
    size = 0
    for claim in claims:
        if batch and (size + (claim.size or 0) > BATCH_BYTES or len(batch) >= BATCH_OBJECTS):
            yield batch
            batch, size = [], 0
        batch.append(claim)
        size += claim.size or 0
    if batch:
        yield batch


def _is_object(name: str) -> bool:
    try:
        ObjectName.parse(name)
    except FormatError:
        return False
    return True
