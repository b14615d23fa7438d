"""Which revisions and tags stay, decided without any store."""

from __future__ import annotations

from collections.abc import Iterator

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import Revision, repository_name
from outcrop.cvmfs.reflog import Reference, ReferenceType
from outcrop.stratum0.collection.retention import (
    SECONDS_OF_A_DAY,
    KeptRevision,
    PastRevision,
    Reason,
    Retention,
    Window,
    references_to_forget,
    revisions_to_keep,
)

CURRENT = 6
HISTORY, CERTIFICATE = Digest.of(b"history"), Digest.of(b"certificate")
MANIFEST = Manifest(
    repository_name("test.example.org"), Revision(CURRENT), Digest.of(b"6"), 0, CERTIFICATE, history=HISTORY
)


def root(revision: int) -> Digest:
    return Digest.of(b"%d" % revision)


def chain(newest: int = CURRENT) -> Iterator[PastRevision]:
    """Revision N was published on day 10 N."""
    for revision in range(newest, 0, -1):
        yield PastRevision(root(revision), revision, 10 * revision)


def numbers(retention: Retention) -> list[int]:
    kept = {one.root for one in retention.kept}
    return [revision for revision in range(1, CURRENT + 1) if root(revision) in kept]


def decide(
    cutoff: int, *, tags: tuple[Tag, ...] = (), log: tuple[Reference, ...] = (), revisions: int = 1
) -> Retention:
    return revisions_to_keep(MANIFEST, tags, log, chain(), Window(cutoff, revisions))


def tag(name: str, revision: int) -> Tag:
    return Tag(name, root(revision), revision, 10 * revision)


def automatic(revision: int) -> Tag:
    return tag(f"generic-2026-11-21T12:00:{revision:02}Z", revision)


def test_the_revision_that_was_current_when_the_window_began_is_the_oldest_that_stays() -> None:
    assert numbers(decide(45)) == [4, 5, 6]
    assert numbers(decide(41)) == [4, 5, 6]
    assert numbers(decide(39)) == [3, 4, 5, 6]
    assert decide(45).since == 40


def test_the_revision_published_at_the_very_moment_when_the_window_began_replaced_all_before_it() -> None:
    assert numbers(decide(40)) == [4, 5, 6]


def test_the_current_revision_stays_without_any_window() -> None:
    assert numbers(decide(60)) == [6]
    assert numbers(decide(1000)) == [6]


def test_so_many_revisions_stay_as_are_asked_for() -> None:
    assert numbers(decide(1000, revisions=3)) == [4, 5, 6]
    assert numbers(decide(15, revisions=3)) == [1, 2, 3, 4, 5, 6]
    assert numbers(decide(1000, revisions=100)) == [1, 2, 3, 4, 5, 6]


def test_no_more_of_the_past_is_read_than_needed() -> None:
    past = chain()
    revisions_to_keep(MANIFEST, (), (), past, Window(45))
    assert next(past).revision == 3


def test_named_tags_and_the_previous_revision_stay_for_ever() -> None:
    tags = (tag(TRUNK, 6), tag(TRUNK_PREVIOUS, 5), tag("2026.06", 2), tag("generic-x86", 1))
    retention = decide(1000, tags=tags)
    assert numbers(retention) == [1, 2, 5, 6]
    assert retention.expired_tags == ()
    assert {one.name: one.reason for one in retention.kept if one.name} == {
        TRUNK_PREVIOUS: Reason.PREVIOUS,
        "2026.06": Reason.TAGGED,
        "generic-x86": Reason.TAGGED,
    }


def test_what_an_open_transaction_began_from_stays_for_as_long_as_it_is_open() -> None:
    base = KeptRevision(root(2), Reason.OPEN_TRANSACTION, "20261121-120000")
    retention = revisions_to_keep(MANIFEST, (automatic(2),), (), chain(), Window(45), (base,))
    assert base in retention.kept
    assert numbers(retention) == [2, 4, 5, 6]
    assert [one.revision for one in retention.expired_tags] == [2]


def test_automatic_tags_end_when_their_revisions_leave_the_window() -> None:
    tags = tuple(automatic(revision) for revision in range(1, 7))
    retention = decide(45, tags=tags)
    assert [one.revision for one in retention.expired_tags] == [1, 2, 3]
    assert numbers(retention) == [4, 5, 6]


def test_automatic_tags_of_a_revision_that_a_named_tag_keeps_end_too() -> None:
    retention = decide(45, tags=(automatic(2), tag("2026.06", 2)))
    assert [one.revision for one in retention.expired_tags] == [2]
    assert numbers(retention) == [2, 4, 5, 6]


def test_what_only_the_reflog_names_stays_while_it_is_young() -> None:
    log = tuple(Reference(Digest.of(b"cut short %d" % day), ReferenceType.ROOT_CATALOG, day) for day in (20, 44))
    retention = decide(45, log=log)
    unfinished = [one.root for one in retention.kept if not one.was_published]
    assert unfinished == [log[1].digest]


def test_the_reflog_forgets_what_nothing_in_the_window_used() -> None:
    old, used = Digest.of(b"old"), Digest.of(b"used")
    log = (
        *(Reference(root(revision), ReferenceType.ROOT_CATALOG, 10 * revision) for revision in range(1, 7)),
        Reference(CERTIFICATE, ReferenceType.CERTIFICATE, 5),
        Reference(old, ReferenceType.HISTORY, 39),
        Reference(used, ReferenceType.HISTORY, 40),
        Reference(HISTORY, ReferenceType.HISTORY, 60),
    )
    retention = decide(45, log=log)
    forgotten = references_to_forget(log, MANIFEST, retention.kept, retention.since)
    assert [one.digest for one in forgotten] == [root(1), root(2), root(3), old]


def test_a_window_is_given_in_days() -> None:
    assert Window.of_days(28, 100 * SECONDS_OF_A_DAY) == Window(72 * SECONDS_OF_A_DAY, 1)
