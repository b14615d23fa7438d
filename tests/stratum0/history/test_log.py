"""The log: every revision, whoever published it, as far back as anything is known of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import InvalidValue, NotFound
from outcrop.stratum0.history.changelog import LoggedRevision, Selection, changelog
from outcrop.stratum0.history.log import RevisionRecord, revisions, root_reference, tree_totals
from outcrop.stratum0.history.revision_names import moment, named_revision
from outcrop.stratum0.history.tags import carry_out, plan_tag
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import published_manifest
from tests.stratum0.revising import AUTHOR, revise


def log(publisher: Publisher) -> list[RevisionRecord]:
    return list(revisions(publisher.repository, published_manifest(publisher.repository.store)))


def told(publisher: Publisher, *, compare: bool = False, **selection: Any) -> list[LoggedRevision]:
    manifest = published_manifest(publisher.repository.store)
    return list(changelog(publisher.repository, manifest, Selection(**selection), compare=compare))


def numbers(logged: Iterable[LoggedRevision | RevisionRecord]) -> list[int]:
    return [one.record.revision if isinstance(one, LoggedRevision) else one.revision for one in logged]


def collect(publisher: Publisher, record: RevisionRecord) -> None:
    """Takes the root catalog of a revision away, as garbage collection would."""
    publisher.repository.store.remove(ObjectName(record.root_catalog, ObjectKind.CATALOG).path)


def named(publisher: Publisher, text: str) -> int:
    return named_revision(publisher.repository, published_manifest(publisher.repository.store), text).revision


@pytest.fixture
def mixed(publisher: Publisher) -> Publisher:
    """Revision 1 as created; 2 and 4 with accounts, 3 as another tool publishes it."""
    revise(publisher, {"/a/one": "1"}, message="first", tag="v1")
    revise(publisher, {"/a/two": "2", "/b/x": "3"}, with_account=False, message="by another tool")
    revise(publisher, {"/a": None, "/b/x": "4"}, message="third\nwith details", reason="must go", tag="v3")
    return publisher


def test_every_revision_is_told_with_what_is_known_of_it(mixed: Publisher) -> None:
    newest, other, first, created = log(mixed)
    assert (newest.revision, newest.author, newest.reason) == (4, AUTHOR, "must go")
    assert newest.message == "third\nwith details"
    assert newest.tags == ("generic-2026-11-21T12:03:00Z", "v3")
    assert newest.account is not None
    assert (newest.account.added, newest.account.changed, newest.account.removed) == (0, 1, 3)
    assert (other.revision, other.author, other.message, other.account) == (3, "", "by another tool", None)
    assert (first.revision, first.message, first.tags[-1]) == (2, "first", "v1")
    assert (created.revision, created.author, created.message) == (1, "", "Created")
    assert [record.published_at for record in log(mixed)] == [
        int(mixed.now.timestamp()) - 60 * minutes for minutes in range(4)
    ]


def test_totals_are_those_of_the_tree(mixed: Publisher) -> None:
    totals = [tree_totals(mixed.repository, record) for record in log(mixed)]
    assert [one and (one.entries, one.bytes) for one in totals] == [(3, 1), (6, 3), (3, 1), (1, 0)]


def test_accounts_outlive_their_catalogs(mixed: Publisher) -> None:
    collected = log(mixed)[2]
    collect(mixed, collected)
    assert numbers(log(mixed)) == [4, 3, 2, 1]
    assert log(mixed)[2].message == "first"
    assert tree_totals(mixed.repository, collected) is None
    with pytest.raises(NotFound, match="the tree of revision 2"):
        root_reference(mixed.repository, collected)


def test_what_is_behind_a_gap_in_the_chain_is_told(mixed: Publisher) -> None:
    collect(mixed, log(mixed)[1])
    assert numbers(log(mixed)) == [4, 3, 2, 1]
    assert log(mixed)[1].message == "by another tool"  # its tag is all that is left of it


def test_a_repository_without_history_is_told_by_its_catalogs(publisher: Publisher) -> None:
    revise(publisher, {"/a": "1"}, with_account=False)
    manifest = replace(published_manifest(publisher.repository.store), history=None)
    assert numbers(revisions(publisher.repository, manifest)) == [2, 1]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [4, 3, 2, 1]),
        ({"count": 2}, [4, 3]),
        ({"since": "2"}, [4, 3]),
        ({"since": "v1"}, [4, 3]),
        ({"since": "v1", "until": "3"}, [3]),
        ({"since": "2026-11-21"}, [4, 3, 2, 1]),
        ({"since": "2026-11-21T12:02:00"}, [4, 3]),
        ({"since": "@2026-11-21T14:02:00+02:00"}, [4, 3]),
        ({"since": "2026-11-22"}, []),
        ({"until": "2026-11-21"}, [4, 3, 2, 1]),
        ({"until": "2026-11-21T12:01:30"}, [2, 1]),
        ({"until": "2026-11-20"}, []),
        ({"since": "~2", "count": 1}, [4]),
    ],
)
def test_since_until_and_count(mixed: Publisher, selection: dict[str, Any], expected: list[int]) -> None:
    assert numbers(told(mixed, **selection)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a", [4, 3, 2]),
        (b"/a/one", [4, 2]),
        (b"/a/two", [4, 3]),  # /a came as a whole in 2, without it
        (b"/b", [4, 3]),
        (b"/b/x", [4, 3]),
        (b"/b/y", []),
        (b"/nowhere", []),
    ],
)
def test_a_path_tells_the_revisions_that_touched_it(mixed: Publisher, path: bytes, expected: list[int]) -> None:
    assert numbers(told(mixed, path=RepositoryPath(path))) == expected


def test_a_path_in_a_whole_directory_is_told_where_catalogs_are_gone(mixed: Publisher) -> None:
    collect(mixed, log(mixed)[3])
    assert numbers(told(mixed, path=RepositoryPath(b"/a/two"))) == [4, 3, 2]


def test_a_path_tells_only_the_lines_that_touch_it(mixed: Publisher) -> None:
    logged = told(mixed, path=RepositoryPath(b"/b"))
    assert [[line.path for line in one.changes] for one in logged] == [[b"/b/x"], [b"/b"]]


def test_what_other_tools_published_is_compared_on_demand(mixed: Publisher) -> None:
    assert told(mixed)[1].account is None
    account = told(mixed, compare=True)[1].account
    assert account is not None
    assert [line.path for line in account.changes] == [b"/a/two", b"/b"]
    collect(mixed, log(mixed)[2])
    assert told(mixed, compare=True)[1].account is None


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("1", 1),
        ("trunk", 4),
        ("trunk-previous", 3),
        ("v1", 2),
        ("generic-2026-11-21T12:02:00Z", 3),
        ("~0", 4),
        ("~3", 1),
        ("v3~1", 3),
        ("3~2", 1),
        ("trunk-previous~1", 2),
        ("@2026-11-21", 4),
        ("@2026-11-21T12:01:59", 2),
        ("@2026-11-21T12:03:00Z", 4),
        ("@20261121T120300", 4),
        ("@2026-11-21T12:03:00Z~1", 3),
    ],
)
def test_names_of_revisions(mixed: Publisher, text: str, revision: int) -> None:
    assert named(mixed, text) == revision


def test_a_revision_is_named_by_its_root_catalog(mixed: Publisher) -> None:
    for record in log(mixed):
        assert named(mixed, str(record.root_catalog)) == record.revision


@pytest.mark.parametrize(
    "text", ["5", "0", "nothing", "~4", "@2026-11-21T11:59:59", "0" * 40, "v1~9", "99999999999999999999"]
)
def test_an_unknown_revision_is_refused_with_those_that_there_are(mixed: Publisher, text: str) -> None:
    with pytest.raises(NotFound) as caught:
        named(mixed, text)
    assert "the revisions 1 to 4" in caught.value.hint
    assert "v3" in caught.value.hint


@pytest.mark.parametrize("text", ["@", "@yesterday", "@2026-13-01"])
def test_a_date_that_is_none_is_refused(mixed: Publisher, text: str) -> None:
    with pytest.raises(InvalidValue, match="the date"):
        named(mixed, text)


def test_days_begin_and_end() -> None:
    assert moment("1970-01-02", ends_day=False) == 86400
    assert moment("1970-01-02", ends_day=True) == 2 * 86400 - 1
    assert moment("19700102", ends_day=True) == 2 * 86400 - 1
    assert moment("1970-01-02T00:00:01.9", ends_day=True) == 86401
    assert moment("1970-01-01T02:00+02:00", ends_day=False) == 0
    assert moment("0001-01-01T00:00+14:00", ends_day=False) == -62135647200
    assert moment("9999-12-31T23:59-14:00", ends_day=True) == 253402351140
    assert moment("rubbish", ends_day=False) is None


@pytest.mark.parametrize("name", ["41", "@2026", "0" * 40, "0" * 40 + "-rmd160"])
def test_a_tag_that_would_mean_two_things_is_refused(mixed: Publisher, name: str) -> None:
    with pytest.raises(InvalidValue):
        plan_tag(mixed.repository, published_manifest(mixed.repository.store), name, message="", now=0)


def test_a_tag_for_a_revision_named_in_any_way(mixed: Publisher) -> None:
    repository, now = mixed.repository, int(mixed.now.timestamp())
    carry_out(repository, lambda m: plan_tag(repository, m, "old", revision="v3~2", message="", now=now), now)
    assert named(mixed, "old") == 2
    assert log(mixed)[2].tags[-2:] == ("old", "v1")


def test_revisions_of_the_same_second_have_automatic_tags_of_their_own(publisher: Publisher) -> None:
    for number in range(3):
        revise(publisher, {"/a": str(number)})
        publisher.now -= timedelta(minutes=1)
    tags = [tag for record in log(publisher) for tag in record.tags]
    assert tags == [
        "generic_4-2026-11-21T12:01:00Z",
        "generic_3-2026-11-21T12:01:00Z",
        "generic-2026-11-21T12:01:00Z",
    ]
    manifest = published_manifest(publisher.repository.store)
    assert all(tag.is_automatic for tag in publisher.repository.tags(manifest) if tag.name in tags)
