"""A repository opens when its chain of trust holds, from one run to the next, whatever servers do."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.client.repository import RevisionChoice
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import (
    FormatError,
    IntegrityError,
    InvalidValue,
    NetworkError,
    NotFound,
    OutcropError,
    TrustError,
)
from tests.client.published import CONTENTS, NAME, Published, keys, library, signed_manifest
from tests.client.reading import Reader
from tests.faulty_server import Site, endless, html_page, serving, status, truncated


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A repository in a directory whose name needs care."""
    return library().write(tmp_path / "größe 100%")


def all_bytes(reader: Reader, server: str | Path) -> dict[bytes, bytes]:
    """Every visible file of the repository."""
    with reader.open(server) as repository:
        return {
            path: b"".join(
                repository.contents.local_file(piece).read_bytes() for piece in repository.tree.pieces(path, entry)
            )
            for path, entry in repository.tree.walk()
            if entry.is_file
        }


def test_directory_and_server_show_the_same(reader: Reader, served: Path) -> None:
    assert all_bytes(reader, served) == CONTENTS
    with serving(Site(library().files)) as url:
        assert all_bytes(Reader(served / "other"), url) == CONTENTS
    assert reader.told == []


def test_uncompressed_objects_and_every_digest_are_read(reader: Reader, tmp_path: Path) -> None:
    from outcrop.cvmfs.compression import Compression
    from outcrop.cvmfs.digest import Algorithm
    from tests.client.published import file_entry

    published = Published()
    entries = {}
    for algorithm in Algorithm:
        for compression in Compression:
            name = f"{algorithm.label}-{compression.name}".encode()
            digest = published.add(name, ObjectKind.FILE, compression, algorithm)
            entries[b"/" + name] = file_entry(name, len(name), digest, compression=compression)
    server = published.sign(published.catalog(entries)).write(tmp_path / "published")
    assert all_bytes(reader, server) == {path: path[1:] for path in entries}


# What a server may do to the two signed files.


@pytest.mark.parametrize("name", [MANIFEST_NAME, WHITELIST_NAME])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (html_page, FormatError),
        (endless, NetworkError),
        (status(500), NetworkError),
        (truncated(b"x" * 100), NetworkError),
        (status(404), NotFound),
    ],
    ids=["html", "endless", "500", "truncated", "404"],
)
def test_signed_file_that_is_none_ends_in_a_typed_error(
    reader: Reader, name: str, fault: object, error: type[OutcropError]
) -> None:
    site = Site(library().files, faults={name: fault})  # type: ignore[dict-item]
    with serving(site) as url, pytest.raises(error):
        reader.open(url)


def test_no_repository_at_the_address_is_said_in_these_words(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"a repository at {tmp_path} does not exist"):
        reader.open(tmp_path)


def test_root_catalog_swapped_for_another_is_refused(reader: Reader) -> None:
    published = library()
    assert published.root is not None
    other = published.catalog({})
    path = ObjectName(published.root.digest, ObjectKind.CATALOG).path
    published.files[path] = published.files[ObjectName(other.digest, ObjectKind.CATALOG).path]
    with serving(Site(published.files)) as url, pytest.raises(IntegrityError, match="another digest"):
        reader.open(url)


def test_honest_server_behind_a_lying_one_is_found(reader: Reader) -> None:
    forged = library()
    forged.files[MANIFEST_NAME] = signed_manifest(forged.manifest(), keys("stranger").signing)
    with (
        serving(Site(forged.files)) as lying,
        serving(Site(library().files)) as honest,
        reader.open(lying, honest) as repository,
    ):
        assert repository.server == honest


def test_first_servers_trouble_is_told_when_all_fail(reader: Reader, tmp_path: Path) -> None:
    forged = library()
    forged.files[MANIFEST_NAME] = signed_manifest(forged.manifest(), keys("stranger").signing)
    with serving(Site(forged.files)) as lying, pytest.raises(TrustError, match="not made with the key"):
        reader.open(lying, tmp_path / "nothing")


def test_expired_whitelist_is_refused(reader: Reader, served: Path) -> None:
    reader.now += timedelta(days=31)
    with pytest.raises(TrustError, match="expired"):
        reader.open(served)


def test_wrong_key_is_refused(reader: Reader, served: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pub"
    wrong.write_bytes(keys("stranger").public_pem)
    with pytest.raises(TrustError, match="master key"):
        reader.open(served, key=wrong)


# Memory from one run to the next.


def test_older_revision_is_refused_in_a_later_run(reader: Reader, tmp_path: Path) -> None:
    new, old = library(revision=2).write(tmp_path / "new"), library(revision=1).write(tmp_path / "old")
    reader.open(new).close()
    with pytest.raises(TrustError, match="of revision 1; this machine has seen 2"):
        Reader(reader.directory).open(old)


def test_lagging_server_gives_way_to_one_that_is_not(reader: Reader, tmp_path: Path) -> None:
    new, old = library(revision=2).write(tmp_path / "new"), library(revision=1).write(tmp_path / "old")
    reader.open(new).close()
    with reader.open(old, new) as repository:
        assert repository.server == str(new)


def test_repository_begun_anew_with_other_keys_is_another_one(reader: Reader, tmp_path: Path) -> None:
    reader.open(library(revision=5).write(tmp_path / "first")).close()
    anew = library()
    anew.owner = keys("stranger")
    key = tmp_path / "new.pub"
    key.write_bytes(keys("stranger").public_pem)
    with reader.open(anew.sign().write(tmp_path / "second"), key=key) as repository:
        assert repository.manifest.revision == 1


def test_two_keys_in_either_order_share_a_memory(reader: Reader, tmp_path: Path) -> None:
    from outcrop.client.state import keys_digest

    one, two = keys().public, keys("stranger").public
    assert keys_digest([one, two]) == keys_digest([two, one]) != keys_digest([one])


def test_memory_that_cannot_be_written_is_told_and_no_obstacle(reader: Reader, served: Path) -> None:
    reader.directory.mkdir()
    (reader.directory / "state").touch()
    with reader.open(served) as repository:
        assert repository.notes == reader.told
    assert "the next run cannot know that revision 1 has been seen" in reader.told[-1]


def test_memory_that_is_damaged_is_not_forgotten_silently(reader: Reader, served: Path) -> None:
    reader.open(served).close()
    (memory,) = (reader.directory / "state" / "seen").iterdir()
    assert json.loads(memory.read_text())
    memory.write_text("{")
    with pytest.raises(FormatError, match=str(memory)) as caught:
        reader.open(served)
    assert "remove the file" in caught.value.hint


# The choice of a revision.


def test_root_catalog_can_be_chosen(reader: Reader, tmp_path: Path) -> None:
    published = library()
    first = published.root
    assert first is not None
    published.revision = 2
    server = published.sign(published.catalog({})).write(tmp_path / "published")
    with reader.open(server) as repository:
        assert repository.tree.children(b"") == []
    with reader.open(server, choice=RevisionChoice(root_catalog=first.digest)) as repository:
        assert repository.tree.lookup(b"/README") is not None
        assert repository.manifest.revision == 2


def test_choice_is_one_thing() -> None:
    with pytest.raises(InvalidValue, match="several things"):
        RevisionChoice(tag="a", revision=1)
    with pytest.raises(InvalidValue, match="several things"):
        RevisionChoice(tag="a", root_catalog=Digest.of(b""))


def test_repository_without_tags_says_so(reader: Reader, served: Path) -> None:
    with pytest.raises(NotFound, match=f"a history of {NAME}"):
        reader.open(served, choice=RevisionChoice(tag="v1"))


# Work that is stopped or has no room.


def test_home_that_cannot_be_written_is_no_obstacle(served: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path / "reader")
    reader.directory.mkdir()
    for name in ("cache", "state"):
        (reader.directory / name).touch()
    assert all_bytes(reader, served) == CONTENTS
    assert len(reader.told) == 2


def test_objects_are_asked_for_once(reader: Reader) -> None:
    site = Site(library().files)
    with serving(site) as url:
        all_bytes(reader, url)
        site.requests.clear()
        all_bytes(reader, url)
    certificate = ObjectName(library().manifest().certificate, ObjectKind.CERTIFICATE).path
    assert site.requests == [MANIFEST_NAME, WHITELIST_NAME, certificate]
