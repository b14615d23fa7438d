"""How the notices of a revision become those of the next: one more, one withdrawn, or some carried out.

Users plan by a notice: its day may be put off, but nobody brings it forward, and it is withdrawn with a reason only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.notices import STUB_NAME, Notice, Notices, NoticeState, stub_text
from outcrop.cvmfs.paths import RepositoryPath, ancestors, is_below, join, parent, shown
from outcrop.errors import InvalidValue, NotFound
from outcrop.stratum0.promises.keeping import PublishedTree

EditNotices = Callable[[PublishedTree, Notices], Notices]
"""Gives the next notices of a revision; raises one of our errors if it is not to be published so."""


def announced(tree: PublishedTree, notices: Notices, new: Notice, now: datetime) -> Notices:
    """`notices` with `new`, which may take the place of one for the same path, but for an earlier day.

    NotFound if there is nothing at its path; InvalidValue for a day that has come, or that contradicts other notices.
    """
    if tree.lookup(new.path) is None:
        raise NotFound(what=f"the path {shown(new.path)}", hint="`outcrop ls` shows what is there")
    if new.state(now) is not NoticeState.PENDING:
        raise InvalidValue(
            what=f"the day {new.on}", problem="is not in the future", hint="users need time: give a later `--on`"
        )
    if new.successor is not None and is_below(new.successor, new.path):
        raise InvalidValue(
            what=f"the successor {shown(new.successor)}",
            problem=f"goes away together with {shown(new.path)}",
            hint="name a `--successor` that stays",
        )
    old = notices.at(new.path)
    if old is not None and old.done is None:
        if new.on < old.on:
            raise InvalidValue(
                what=f"the day {new.on}",
                problem=f"is before {old.on}, which users were told",
                hint="choose a later day, or withdraw the notice with `--withdraw` first",
            )
        new = replace(new, since=old.since)
    _require_order(notices, new)
    return notices.with_notice(replace(new, since=_to_the_second(new.since)))


def _require_order(notices: Notices, new: Notice) -> None:
    """InvalidValue if something would have to go before its own day, together with a directory above it."""
    for other in (*notices.above(parent(new.path)), *notices.below(new.path)):
        outer, inner = sorted((other, new), key=lambda one: len(one.path))
        if other.path != new.path and other.done is None and outer.on < inner.on:
            raise InvalidValue(
                what=f"the day {new.on}",
                problem=f"contradicts the notice for {shown(other.path)}, which goes on {other.on}",
                hint="nothing in a directory can stay longer than the directory",
            )


def withdrawn(notices: Notices, path: RepositoryPath, reason: str) -> Notices:
    """`notices` without the one for `path`; NotFound if there is none, InvalidValue if it is carried out, or without
    a `reason`."""
    notice = notices.at(path)
    if notice is None:
        raise NotFound(what=f"a notice for {shown(path)}", hint="`outcrop repo retire` without a path lists them")
    if notice.done is not None:
        raise InvalidValue(what=f"the notice for {shown(path)}", problem=f"was carried out on {notice.done:%Y-%m-%d}")
    if not reason.strip():
        raise InvalidValue(
            what=f"the notice for {shown(path)}",
            problem="cannot be withdrawn without a reason",
            hint='users plan by it: add `--reason "…"`',
        )
    return notices.without(path)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Notices once some of them are carried out, and the texts that are left in the place of what is gone."""

    notices: Notices
    stubs: Mapping[RepositoryPath, bytes]


def settled(
    before: PublishedTree, after: PublishedTree, notices: Notices, *, repository: RepositoryName, now: datetime
) -> Settlement:
    """What the removal of paths that were due comes to: those that `before` has and `after`, the next revision, lacks.

    A path that was gone before is settled without a stub: nobody finds anything there anyway.
    """
    stubs: dict[RepositoryPath, bytes] = {}
    for notice in notices.in_state(NoticeState.DUE, now):
        if after.lookup(notice.path) is not None:
            continue
        done = replace(notice, done=_to_the_second(now))
        notices = notices.with_notice(done)
        old = before.lookup(notice.path)
        # A file may have come in where a directory led to the path: its publisher wants no stub there.
        leading = map(after.lookup, ancestors(notice.path))
        if old is not None and all(entry is None or entry.is_directory for entry in leading):
            place = join(notice.path, STUB_NAME) if old.is_directory else notice.path
            stubs[place] = stub_text(done, repository, now)
    return Settlement(notices, stubs)


def due_paths(tree: PublishedTree, notices: Notices, now: datetime) -> tuple[RepositoryPath, ...]:
    """The paths that `tree` has and whose day has come, without those that go with a directory above them."""
    due = {one.path for one in notices.in_state(NoticeState.DUE, now) if tree.lookup(one.path) is not None}
    return tuple(sorted(path for path in due if due.isdisjoint(ancestors(path))))


def successor_doubts(tree: PublishedTree, notices: Notices, notice: Notice) -> tuple[str, ...]:
    """What its publisher should look at once more about the successor that `notice` names."""
    if notice.successor is None:
        return ()
    doubts = []
    if tree.lookup(notice.successor) is None:
        doubts.append(f"the successor {shown(notice.successor)} is not there yet")
    ending = next((one for one in notices.above(notice.successor) if one.done is None), None)
    if ending is not None:
        doubts.append(f"the successor {shown(notice.successor)} is itself to be retired on {ending.on}")
    return tuple(doubts)


def _to_the_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
