"""Whether a change keeps what was promised to users: by the policy (`policy`) and by notices (`outcrop.cvmfs.notices`).

The policy's promises: what is at a promised path stays there, with the bytes, the target and the kind that it has.
Attributes may change: modes, owners and times are corrected for the sake of readers, and programs that run from the
bytes go on running. Additions are free. A publisher who names a reason may break such a promise, and the reason is
published with the revision.

A path that a change takes away and puts there again, as an entry of another kind or for the sake of a stub below it, is
not removed: what readers find there is held against what they found before.

A notice's promise: until the day that it names, its path stays, with and without a policy and whatever the reason,
since users plan by it. From that day on the path, and what lies below it, may go without a reason. Where notices lie
one below the other, the deepest decides.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.notices import OUTCROP_DIRECTORY, Notice, Notices, NoticeState
from outcrop.cvmfs.paths import RepositoryPath, ancestors, is_below, join, parent, shown
from outcrop.errors import InvalidValue
from outcrop.stratum0.promises.policy import Policy
from outcrop.stratum0.publishing.change import PathChange

SHOWN_BREACHES = 3
"""How many broken promises an error names: enough to see which part of a change is meant."""


class PublishedTree(Protocol):
    """A revision as far as promises look into it."""

    def lookup(self, path: RepositoryPath) -> Entry | None:
        """The entry at `path`."""

    def children(self, path: RepositoryPath) -> Sequence[Entry]:
        """The entries directly in the directory `path`."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that a change would break: what users find at `path` is `REMOVED` or `CHANGED`."""

    path: RepositoryPath
    effect: Effect

    def __str__(self) -> str:
        return f"{shown(self.path)} ({'removed' if self.effect is Effect.REMOVED else 'other content'})"


def require_promises_kept(
    before: PublishedTree,
    changes: Sequence[PathChange],
    policy: Policy,
    notices: Notices,
    *,
    repository: RepositoryName,
    reason: str,
    now: datetime,
) -> None:
    """Returns if a publish of `changes` on top of `before` keeps every promise, or may break it for `reason`.

    `before` is the published revision, untouched, and `notices` are its own. Raises InvalidValue, which names what
    would be broken, otherwise.
    """
    for path in _topmost_removals(changes):
        _require_notices_stay(path, repository)
        held = _held_by(before, path, policy, notices, now)
        if held is not None:
            raise InvalidValue(
                what=f"the path {shown(path)}",
                problem=f"cannot be removed: users were told that {shown(held.path)} is there until {held.on}",
                hint=f"withdraw that first: `outcrop repo retire {repository} {shlex.quote(shown(held.path))} "
                '--withdraw --reason "…"`',
            )
    if reason.strip():
        return
    broken = list(breaches(before, changes, policy, notices, now))
    if broken:
        named = ", ".join(str(breach) for breach in broken[:SHOWN_BREACHES])
        more = f" and {len(broken) - SHOWN_BREACHES:,} more" if len(broken) > SHOWN_BREACHES else ""
        raise InvalidValue(
            what="this change",
            problem=f"breaks what was promised to users: {named}{more}",
            hint='`--reason "…"` publishes it all the same and says why; '
            f"`outcrop repo retire {repository} PATH --on DATE` announces a removal beforehand",
        )


def breaches(
    before: PublishedTree, changes: Sequence[PathChange], policy: Policy, notices: Notices, now: datetime
) -> Iterator[Breach]:
    """The promises of `policy` that `changes` break, each once; of promised directories that go away, the topmost."""
    removals = _topmost_removals(changes)
    again = _Again.of(changes) if removals else _NOTHING_AGAIN
    for path in removals:
        yield from _broken_by_removal(before, path, again, policy, notices, now)
    for change in changes:
        if change.effect is Effect.CHANGED and change.content and policy.promises(change.path):
            yield Breach(change.path, Effect.CHANGED)


def _topmost_removals(changes: Sequence[PathChange]) -> list[RepositoryPath]:
    """What is taken away, without what goes with a directory above it: some changes tell that too, others do not."""
    gone = dict.fromkeys(change.path for change in changes if change.effect is Effect.REMOVED)
    return [path for path in gone if gone.keys().isdisjoint(ancestors(path))]


@dataclass(frozen=True, slots=True)
class _Again:
    """What a change puts there: the `paths` themselves, and the `directories` that hold some of them."""

    paths: Set[RepositoryPath]
    directories: Set[RepositoryPath]

    @classmethod
    def of(cls, changes: Sequence[PathChange]) -> _Again:
        paths = {change.path for change in changes if change.effect is Effect.ADDED}
        return cls(paths, {parent(path) for path in paths})


_NOTHING_AGAIN = _Again(frozenset(), frozenset())


def _broken_by_removal(
    before: PublishedTree,
    top: RepositoryPath,
    again: _Again,
    policy: Policy,
    notices: Notices,
    now: datetime,
) -> Iterator[Breach]:
    """The topmost promised paths at and below `top` that are gone, or are something else now.

    Only directories that lead to what may be promised are read.
    """
    pending = [top]
    while pending:
        path = pending.pop()
        if _is_due(path, notices, now):
            continue
        promised = policy.promises(path)
        if promised and path not in again.paths:
            yield Breach(path, Effect.REMOVED)
        elif promised or policy.may_promise_below(path):
            entry = before.lookup(path)
            was_directory = entry is not None and entry.is_directory
            if promised and not (was_directory and path in again.directories):
                yield Breach(path, Effect.CHANGED)
            elif was_directory:
                pending += sorted((join(path, child.name) for child in before.children(path)), reverse=True)


def _is_due(path: RepositoryPath, notices: Notices, now: datetime) -> bool:
    """Whether the day has come that a notice names for `path`."""
    deciding = _deciding(path, notices)
    return deciding is not None and deciding.state(now) is NoticeState.DUE


def _deciding(path: RepositoryPath, notices: Notices) -> Notice | None:
    """The notice that speaks of `path`; one that was carried out speaks of nothing any more."""
    return next((notice for notice in reversed(notices.above(path)) if notice.done is None), None)


def _require_notices_stay(path: RepositoryPath, repository: RepositoryName) -> None:
    if is_below(path, OUTCROP_DIRECTORY):
        raise InvalidValue(
            what=f"the path {shown(path)}",
            problem="cannot be removed: users are told there what will be retired",
            hint=f"`outcrop repo retire {repository} PATH --withdraw` takes one notice back",
        )


def _held_by(
    before: PublishedTree, path: RepositoryPath, policy: Policy, notices: Notices, now: datetime
) -> Notice | None:
    """The notice that says that `path`, or something below it, is there until a day that has not come."""
    for notice in notices.below(path):
        if notice.state(now) is NoticeState.PENDING and before.lookup(notice.path) is not None:
            return notice
    deciding = None if policy.excepts(path) else _deciding(path, notices)
    return deciding if deciding is not None and deciding.state(now) is NoticeState.PENDING else None
