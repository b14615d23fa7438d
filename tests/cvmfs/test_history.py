"""The history: tags in both directions, and every column that can be wrong."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import MAXIMUM_TAGGED_REVISION, RESERVED_NAMES, History, Tag, tag_name
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.revision_account import RevisionAccount
from outcrop.errors import InvalidValue
from tests.cvmfs import strategies
from tests.cvmfs.refusal import refused
from tests.cvmfs.test_revision_account import ACCOUNT, accounts

SHA1 = "0123456789abcdef0123456789abcdef01234567"
TAG = Tag("v1.0", Digest.parse(SHA1), 7, 1_700_000_000, "first", 36864)


def new_history(*tags: Tag) -> History:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    history = History.create(connection, RepositoryName("test.example.org"))
    for tag in tags:
        history.put(tag)
    return history


@pytest.mark.property
@given(st.lists(strategies.tags, max_size=5, unique_by=lambda tag: tag.name))
def test_written_and_back(tags: list[Tag]) -> None:
    history = History.parse(database_to_bytes(new_history(*tags).connection))
    assert history.tags() == sorted(tags, key=lambda tag: (-tag.revision, tag.name))
    for tag in tags:
        assert history.find(tag.name) == tag


def test_a_tag_takes_the_place_of_one_with_its_name() -> None:
    history = new_history(TAG)
    history.put(Tag("v1.0", TAG.root_catalog, 8, 1_700_000_001))
    assert [tag.revision for tag in history.tags()] == [8]
    history.remove("v1.0")
    history.remove("v1.0")
    assert history.tags() == []
    assert history.find("v1.0") is None


def test_properties_name_the_repository_and_what_came_before() -> None:
    history = new_history()
    history.set_previous(TAG.root_catalog)
    properties = History.parse(database_to_bytes(history.connection)).properties
    assert (properties["fqrn"], properties["previous_revision"]) == ("test.example.org", SHA1)
    assert (properties["schema"], properties["schema_revision"]) == ("1.0", "3")
    history.set_previous(None)
    assert History.parse(database_to_bytes(history.connection)).properties["previous_revision"] == ""


def test_there_is_one_branch() -> None:
    rows = new_history().connection.execute("SELECT branch, parent, initial_revision FROM branches").fetchall()
    assert rows == [(b"", None, 0)]


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("hash", "rubbish", "the root catalog of the tag v1.0"),
        ("hash", SHA1.upper(), "the root catalog of the tag v1.0"),
        ("hash", None, "the root catalog of the tag v1.0"),
        ("hash", 7, "the root catalog of the tag v1.0"),
        ("revision", -1, "the revision of the tag v1.0"),
        ("revision", "seven", "the revision of the tag v1.0"),
        ("revision", None, "the revision of the tag v1.0"),
        ("timestamp", -1, "the time of the tag v1.0"),
        ("timestamp", 1.5, "the time of the tag v1.0"),
        ("timestamp", 253402300800, "the time of the tag v1.0"),
        ("size", -1, "the size of the tag v1.0"),
        ("size", b"x", "the size of the tag v1.0"),
        ("description", b"\xff", "the description of the tag v1.0"),
        ("name", b"\xff", "a tag's name"),
        ("name", None, "a tag's name"),
    ],
)
def test_a_malformed_column_is_named(column: str, value: object, field: str) -> None:
    history = new_history(TAG)
    history.connection.execute(f"UPDATE tags SET {column} = ?", (value,))
    with refused(field):
        history.tags()


def test_columns_that_may_be_null() -> None:
    history = new_history(TAG)
    history.connection.execute("UPDATE tags SET description = NULL, size = NULL, branch = NULL")
    assert history.tags() == [Tag("v1.0", TAG.root_catalog, 7, 1_700_000_000)]


@pytest.mark.parametrize("schema", ["2.0", "", None])
def test_another_schema_is_refused(schema: str | None) -> None:
    history = new_history()
    history.connection.execute("UPDATE properties SET value = ? WHERE key = 'schema'", (schema,))
    with refused("property schema"):
        History(history.connection)


def test_what_sqlite_cannot_hold_is_an_error_of_ours() -> None:
    with refused("the database"):
        new_history(Tag("v1", TAG.root_catalog, 1, 0, "\ud800"))


def test_the_last_revision_that_can_have_a_tag() -> None:
    assert new_history(Tag("v1", TAG.root_catalog, MAXIMUM_TAGGED_REVISION, 0)).tags()
    with pytest.raises(InvalidValue):
        new_history(Tag("v1", TAG.root_catalog, MAXIMUM_TAGGED_REVISION + 1, 0))


@pytest.mark.property
@given(st.lists(accounts, max_size=3, unique_by=lambda account: account.revision))
def test_accounts_written_and_back(written: list[RevisionAccount]) -> None:
    history = new_history(TAG)
    for account in written:
        history.put_account(account)
    history = History.parse(database_to_bytes(history.connection))
    assert history.accounts() == sorted(written, key=lambda account: -account.revision)
    assert all(history.account(account.revision) == account for account in written)
    assert history.tags() == [TAG]


def test_an_account_takes_the_place_of_one_of_its_revision() -> None:
    history = new_history()
    history.put_account(ACCOUNT)
    history.put_account(replace(ACCOUNT, message="another"))
    assert [account.message for account in history.accounts()] == ["another"]


def test_a_history_without_accounts_reads_as_an_empty_list_of_them() -> None:
    history = new_history(TAG)
    assert history.accounts() == []
    assert history.account(Revision(7)) is None
    assert history.account(Revision(2**64 - 1)) is None


def test_a_malformed_account_is_named() -> None:
    history = new_history()
    history.put_account(ACCOUNT)
    history.connection.execute("UPDATE outcrop_revisions SET hash = 'rubbish'")
    with refused("the hash of revision 7"):
        history.accounts()


def test_a_table_of_accounts_that_is_none_is_refused() -> None:
    history = new_history()
    history.connection.execute("CREATE TABLE outcrop_revisions (something INTEGER)")
    with refused("the database"):
        history.accounts()


@pytest.mark.parametrize("name", ["v1.0", "generic-2026-11-21T02:09:56Z", "a@b+c_d"])
def test_tag_names(name: str) -> None:
    assert tag_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "ä", "x" * 256, *sorted(RESERVED_NAMES)])
def test_no_other_tag_names(name: str) -> None:
    with pytest.raises(InvalidValue):
        tag_name(name)
