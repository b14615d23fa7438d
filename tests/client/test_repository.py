"""A repository opens when its chain of trust holds, from one run to the next, whatever servers do."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.kept_proofs import KeptProofs
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.repository import RevisionChoice, open_repository
from outcrop.client.state import keys_digest
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import Revision
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
from tests.faulty_proxy import ProxySite
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


def test_proxy_that_is_behind_is_gone_past(reader: Reader) -> None:
    """Each proxy of a group keeps the manifest for a minute of its own."""
    site, proxy = Site(library(revision=1).files), ProxySite()
    with serving(site) as url, serving(proxy) as proxy_url:
        by_proxy = RepositoryAddress(NAME, (url,), (reader.key,), network=NetworkSettings(proxies=((proxy_url,),)))
        open_repository(by_proxy, reader.settings).close()
        site.files = library(revision=2).files
        reader.open(url).close()
        with open_repository(by_proxy, reader.settings) as repository:
            assert repository.manifest.revision == 2
        assert proxy.fresh


# While no server answers.


def stored(site: Site, reader: Reader) -> str:
    """All of what `site` shows is in the cache of `reader`; an address at which nobody answers any more."""
    with serving(site) as url:
        assert all_bytes(reader, url) == CONTENTS
    reader.told.clear()
    return url


def test_repository_opens_without_a_server_and_shows_what_is_cached(reader: Reader) -> None:
    url = stored(Site(library(revision=3).files), reader)
    later = Reader(reader.directory)
    assert all_bytes(later, url) == CONTENTS
    assert len(later.told) == 1
    assert url in later.told[0]
    assert "revision 3 is shown, as far as this machine has it" in later.told[0]


def test_what_is_not_cached_needs_a_server(reader: Reader) -> None:
    with serving(Site(library().files)) as url:
        reader.open(url).close()
    with reader.open(url) as repository:
        entry = repository.tree.entry(b"/README")
        (piece,) = repository.tree.pieces(b"/README", entry)
        with pytest.raises(NetworkError):
            repository.contents.local_file(piece)


def test_kept_proofs_hold_for_as_long_as_the_whitelist(reader: Reader) -> None:
    url = stored(Site(library().files), reader)
    reader.now += timedelta(days=31)
    with pytest.raises(TrustError, match="expired"):
        reader.open(url)


def test_kept_proofs_of_a_revision_that_was_superseded_do_not_hold(reader: Reader) -> None:
    url = stored(Site(library(revision=1).files), reader)
    (proofs,) = (reader.directory / "state" / "proofs").iterdir()
    old = proofs.read_bytes()
    stored(Site(library(revision=2).files), reader)
    proofs.write_bytes(old)
    with pytest.raises(TrustError, match="of revision 1; this machine has seen 2"):
        reader.open(url)


def test_kept_proofs_are_for_the_same_keys_only(reader: Reader, tmp_path: Path) -> None:
    url = stored(Site(library().files), reader)
    other = tmp_path / "other.pub"
    other.write_bytes(keys("stranger").public_pem)
    with pytest.raises(NetworkError):
        reader.open(url, key=other)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"\x80", b"\x81\xa4name\xa1\xff"])
def test_kept_proofs_that_are_damaged_are_none(reader: Reader, rubbish: bytes) -> None:
    url = stored(Site(library().files), reader)
    (proofs,) = (reader.directory / "state" / "proofs").iterdir()
    proofs.write_bytes(rubbish)
    with pytest.raises(NetworkError):
        reader.open(url)
    stored(Site(library().files), reader)
    reader.open(url).close()


def test_server_that_answers_is_not_passed_over_for_kept_proofs(reader: Reader) -> None:
    stored(Site(library(revision=2).files), reader)
    with serving(Site(library(revision=1).files)) as url, pytest.raises(TrustError, match="this machine has seen 2"):
        reader.open(url)


def test_what_a_server_says_is_not_hidden_by_another_that_is_down(reader: Reader) -> None:
    gone = stored(Site(library(revision=2).files), reader)
    with serving(Site(library(revision=1).files)) as url, pytest.raises(TrustError, match="this machine has seen 2"):
        reader.open(gone, url)


def test_older_proofs_do_not_replace_newer_ones(reader: Reader) -> None:
    """Of two processes that looked at once, the slower one may have seen the older revision."""
    url = stored(Site(library(revision=2).files), reader)
    kept = KeptProofs(reader.settings.state_directory, NAME, keys_digest([keys().public]))
    kept.keep(Revision(1), library(revision=1).files)
    with reader.open(url) as repository:
        assert repository.manifest.revision == 2


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
