"""Stores by their address, and how a record names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.errors import InvalidValue, NotFound
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.places import (
    create_store,
    located_address,
    open_store,
    recorded_address,
    repository_address,
)

NAME = repository_name("test.example.org")


def test_a_path_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="storage"):
        open_store(str(tmp_path / "new"))
    created = create_store(str(tmp_path / "new"))
    created.write("data/aa/x", b"x")
    opened = open_store(str(tmp_path / "new"))
    assert isinstance(opened, DirectoryStore)
    assert opened.read("data/aa/x") == b"x"


def test_an_address_on_s3_that_means_nothing_is_refused() -> None:
    for use in (open_store, create_store):
        with pytest.raises(InvalidValue, match="bucket"):
            use("s3://")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("/srv/cvmfs", f"/srv/cvmfs/{NAME}"),
        (f"/srv/cvmfs/{NAME}", f"/srv/cvmfs/{NAME}"),
        ("s3://bucket", f"s3://bucket/{NAME}"),
        (f"s3://bucket/a/{NAME}/", f"s3://bucket/a/{NAME}"),
        ("s3://bucket/a?endpoint=http://host:9000", f"s3://bucket/a/{NAME}?endpoint=http://host:9000"),
    ],
)
def test_a_repository_lies_in_a_place_called_like_it(given: str, address: str) -> None:
    assert repository_address(given, NAME, {}) == address


def test_a_relative_directory_counts_from_here(tmp_path: Path) -> None:
    assert repository_address("storage", NAME, {}) == str(Path.cwd() / "storage" / NAME)


def test_the_server_of_the_environment_is_written_down() -> None:
    address = repository_address("s3://bucket", NAME, {"AWS_ENDPOINT_URL": "http://host:9000"})
    assert address == f"s3://bucket/{NAME}?endpoint=http://host:9000"


@pytest.mark.parametrize("given", ["", "http://host/a", "file:///srv", "gs://bucket/a", "s3:/bucket"])
def test_other_addresses_are_no_place_to_publish_to(given: str) -> None:
    with pytest.raises(InvalidValue, match="no place to publish to") as caught:
        repository_address(given, NAME, {})
    assert "s3://BUCKET/PREFIX" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "recorded"),
    [
        ("/data/storage/x", "storage/x"),
        ("/database/storage/x", "/database/storage/x"),
        ("/srv/x", "/srv/x"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_a_record_names_what_lies_below_it_by_its_way(address: str, recorded: str) -> None:
    assert recorded_address(address, Path("/data")) == recorded
    assert located_address(recorded, Path("/data")) == address


def test_a_record_that_moved_finds_what_moved_with_it() -> None:
    assert located_address(recorded_address("/data/storage/x", Path("/data")), Path("/new")) == "/new/storage/x"
