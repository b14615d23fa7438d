"""The reflog: references in both directions, and every column that can be wrong."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.database import database_to_bytes
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import REFLOG_NAME
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from tests.cvmfs import strategies
from tests.cvmfs.refusal import refused
from tests.cvmfs.samples import DIRECTORY, sample

DIGEST = Digest.of(b"")


def new_reflog(*references: Reference) -> Reflog:
    reflog = Reflog.create(sqlite3.connect(":memory:", isolation_level=None), RepositoryName("test.example.org"))
    for reference in references:
        reflog.add(reference.digest, reference.type, reference.timestamp)
    return reflog


@pytest.mark.property
@given(st.lists(strategies.references, max_size=5, unique_by=lambda one: one.digest))
def test_written_and_back(references: list[Reference]) -> None:
    reflog = Reflog.parse(database_to_bytes(new_reflog(*references).connection))
    assert reflog.references() == sorted(references, key=lambda one: one.timestamp)


def test_a_reference_that_is_added_again_is_refreshed() -> None:
    reflog = new_reflog(Reference(DIGEST, ReferenceType.HISTORY, 5))
    reflog.add(DIGEST, ReferenceType.HISTORY, 9)
    assert reflog.references() == [Reference(DIGEST, ReferenceType.HISTORY, 9)]


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_the_samples_reflogs_hold_what_their_manifests_name(name: str) -> None:
    repository = sample(name)
    stored = repository.files[REFLOG_NAME]
    references = {(one.type, one.digest) for one in Reflog.parse(stored).references()}
    manifest = repository.manifest
    assert (ReferenceType.ROOT_CATALOG, manifest.root_catalog) in references
    assert (ReferenceType.CERTIFICATE, manifest.certificate) in references
    checksum = (DIRECTORY / f"{name}.reflog.chksum").read_text(encoding="ascii")
    algorithm = manifest.reflog.algorithm if manifest.reflog else Algorithm.SHA1
    assert Digest.of(stored, algorithm).hexadecimal == checksum


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("hash", "rubbish", "a reference's digest"),
        ("hash", None, "a reference's digest"),
        ("hash", DIGEST.text + "C", "a reference's digest"),
        ("type", 4, "a reference's type"),
        ("type", -1, "a reference's type"),
        ("type", None, "a reference's type"),
        ("type", "root", "a reference's type"),
        ("timestamp", -1, "a reference's time"),
        ("timestamp", None, "a reference's time"),
        ("timestamp", 253402300800, "a reference's time"),
    ],
)
def test_a_malformed_column_is_named(column: str, value: object, field: str) -> None:
    reflog = new_reflog(Reference(DIGEST, ReferenceType.ROOT_CATALOG, 1))
    reflog.connection.execute(f"UPDATE refs SET {column} = ?", (value,))
    with refused(field):
        reflog.references()


def test_another_schema_is_refused() -> None:
    reflog = new_reflog()
    reflog.connection.execute("DELETE FROM properties WHERE key = 'schema'")
    with refused("property schema"):
        Reflog(reflog.connection)
