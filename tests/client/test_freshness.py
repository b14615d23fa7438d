"""Where the announcement and the record are fetched from, what is remembered, and how often anybody is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.repository import find_current
from outcrop.client.state import SeenRevisions, keys_digest
from outcrop.client.trust import Seen, SeenFreshness
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import FormatError, NotFound, TrustError
from tests.client.attacks.promised import HOUR, WEEK, edition, promising, record_of, sign_promise, signed_record
from tests.client.published import NAME, NOW, Published, keys, signed_whitelist
from tests.client.reading import Reader
from tests.faulty_server import Site, serving


def remembered(reader: Reader) -> Seen | None:
    return SeenRevisions(reader.directory / "state").recall(NAME, keys_digest([keys().public]))


def without_record(published: Published) -> Published:
    """What a replica of the reference has of it."""
    return replace(published, files={name: data for name, data in published.files.items() if name != FRESHNESS_NAME})


def test_what_was_believed_is_remembered(reader: Reader, tmp_path: Path) -> None:
    published = promising(3)
    with reader.open(published.write(tmp_path / "server")) as repository:
        assert repository.notes == []
        metainfo = repository.manifest.metainfo
    seen = remembered(reader)
    assert seen is not None
    promise = FreshnessAnnouncement(int(WEEK.total_seconds()))
    assert seen.freshness == SeenFreshness(metainfo, promise, int((NOW - HOUR).timestamp()))


def test_a_record_from_an_older_cache_does_not_take_the_memory_back(reader: Reader, tmp_path: Path) -> None:
    for issued in (NOW - HOUR, NOW - HOUR - timedelta(minutes=4)):
        reader.open(promising(3, issued=issued).write(tmp_path / "server")).close()
        seen = remembered(reader)
        assert seen is not None
        assert seen.freshness is not None
        assert seen.freshness.issued == int((NOW - HOUR).timestamp())


def test_without_a_promise_nobody_is_asked_for_a_record(reader: Reader) -> None:
    site = Site(edition(1).files)
    with serving(site) as url:
        reader.open(url).close()
    assert FRESHNESS_NAME not in site.requests
    seen = remembered(reader)
    assert seen is not None
    assert seen.freshness is None


def test_the_announcement_is_fetched_once_and_the_record_each_time(reader: Reader) -> None:
    site = Site(promising(1).files)
    with serving(site) as url:
        reader.open(url).close()
        site.requests.clear()
        reader.open(url).close()
    signed = sorted(name for name in site.requests if name.startswith("."))
    assert signed == sorted([MANIFEST_NAME, WHITELIST_NAME, FRESHNESS_NAME])
    assert not any(name.endswith("M") for name in site.requests)


def test_a_replica_without_the_record_is_read_with_that_of_another_server(reader: Reader) -> None:
    published = promising(2)
    replica, owner = Site(without_record(published).files), Site(published.files)
    with serving(replica) as near, serving(owner) as far, reader.open(near, far) as repository:
        assert repository.server == near
    assert owner.requests == [FRESHNESS_NAME]


def test_a_replica_without_the_record_is_read_with_that_of_an_announced_server(reader: Reader) -> None:
    owner = Site()
    with serving(owner) as far:
        published = promising(2, servers=(f"{far}/cvmfs/@fqrn@",))
        owner.files[f"cvmfs/{NAME}/{FRESHNESS_NAME}"] = published.files[FRESHNESS_NAME]
        with serving(Site(without_record(published).files)) as near, reader.open(near) as repository:
            assert repository.manifest.revision == 2


def test_without_a_server_a_record_holds_until_it_ends(reader: Reader) -> None:
    """Wherever it came from."""
    owner = Site()
    with serving(owner) as far:
        published = promising(2, servers=(f"{far}/cvmfs/@fqrn@",))
        owner.files[f"cvmfs/{NAME}/{FRESHNESS_NAME}"] = published.files[FRESHNESS_NAME]
        with serving(Site(without_record(published).files)) as near:
            reader.open(near).close()
    with reader.open(near) as repository:
        assert repository.manifest.revision == 2
    reader.now += 2 * WEEK
    with pytest.raises(TrustError, match="freshness"):
        reader.open(near)


def test_the_record_that_held_is_the_one_that_is_kept(reader: Reader) -> None:
    expired, valid = promising(2, issued=NOW - 2 * WEEK), promising(2)
    first = Site({**valid.files, FRESHNESS_NAME: expired.files[FRESHNESS_NAME]})
    with serving(first) as near, serving(Site(valid.files)) as far:
        reader.open(near, far).close()
    with reader.open(near) as repository:
        assert repository.by_kept_proofs


def test_each_server_is_asked_for_its_record_once(reader: Reader) -> None:
    """However many manifests are held against it."""
    old, new = Site(without_record(promising(1)).files), Site(without_record(promising(2)).files)
    with serving(old) as first, serving(new) as second, pytest.raises(TrustError, match="no server has one"):
        reader.open(first, second)
    assert [site.requests.count(FRESHNESS_NAME) for site in (old, new)] == [1, 1]


def test_a_record_by_the_next_key_brings_its_certificate_along(reader: Reader, tmp_path: Path) -> None:
    """While a signing key is replaced, manifest and record may be signed with different ones."""
    published = promising(2)
    following = keys("next").certificate
    record = replace(record_of(published), certificate=published.add(following.pem, ObjectKind.CERTIFICATE))
    both = (*published.whitelist().fingerprints, following.fingerprint(Algorithm.SHA1))
    published.files[FRESHNESS_NAME] = signed_record(record, keys("next").signing)
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(fingerprints=both), keys().master)
    with reader.open(published.write(tmp_path / "server")) as repository:
        assert repository.manifest.revision == 2


def test_what_is_wrong_is_told_rather_than_what_is_missing(reader: Reader, tmp_path: Path) -> None:
    expired = promising(2, issued=NOW - 2 * WEEK)
    servers = [
        without_record(expired).write(tmp_path / "replica"),
        expired.write(tmp_path / "owner"),
    ]
    with pytest.raises(TrustError, match="expired"):
        reader.open(*servers)


def test_a_hidden_announcement_is_said_in_these_words(reader: Reader, tmp_path: Path) -> None:
    published = promising(1)
    metainfo = next(name for name in published.files if name.endswith("M"))
    del published.files[metainfo]
    with pytest.raises(NotFound, match=f"the meta-information of {NAME} does not exist") as caught:
        reader.open(published.write(tmp_path / "server"))
    assert metainfo in caught.value.hint


def test_meta_information_that_says_nothing_is_no_obstacle(reader: Reader, tmp_path: Path) -> None:
    published = edition(1)
    digest = Digest.of(b"no zlib")
    published.files[ObjectName(digest, ObjectKind.METAINFO).path] = b"no zlib"
    sign_promise(published, digest)
    with reader.open(published.write(tmp_path / "server")) as repository:
        assert repository.manifest.metainfo == digest


def test_being_behind_is_noted(reader: Reader, tmp_path: Path) -> None:
    published = promising(1)
    published.files[FRESHNESS_NAME] = promising(2, oldest=Revision(1)).files[FRESHNESS_NAME]
    with reader.open(published.write(tmp_path / "server")) as repository:
        assert repository.notes == [f"no server has revision 2 of {NAME} yet, so 1 is read"]


def test_of_servers_that_are_behind_the_newest_is_read(reader: Reader, tmp_path: Path) -> None:
    record = promising(4, oldest=Revision(1)).files[FRESHNESS_NAME]
    servers = []
    for revision in (1, 3, 2):
        published = promising(revision)
        published.files[FRESHNESS_NAME] = record
        servers.append(published.write(tmp_path / str(revision)))
    with reader.open(*servers) as repository:
        assert repository.manifest.revision == 3


def test_whoever_holds_a_revision_open_learns_that_it_is_no_more_fresh(reader: Reader, tmp_path: Path) -> None:
    """The policy of a mount: it goes on with what it has, and says so."""
    server = promising(1).write(tmp_path / "server")
    address = RepositoryAddress(NAME, (str(server),), (reader.key,))
    with reader.open(server) as repository:
        reader.now = NOW + WEEK
        with pytest.raises(TrustError, match="freshness record"):
            find_current(address, reader.settings)
        assert repository.tree.lookup(b"/edition") is not None
    reader.now = NOW + WEEK
    promising(2, issued=reader.now).write(server)
    assert find_current(address, reader.settings).manifest.revision == 2


def test_what_is_held_counts_as_seen_where_nothing_can_be_remembered(reader: Reader, tmp_path: Path) -> None:
    """A mount that cannot write anywhere is not led back to an older revision."""
    old, new = promising(1).write(tmp_path / "old"), promising(2).write(tmp_path / "new")
    reader.directory.mkdir()
    (reader.directory / "state").touch()
    with reader.open(new) as repository:
        held = repository.trusted.seen
    address = RepositoryAddress(NAME, (str(old),), (reader.key,))
    with pytest.raises(TrustError, match="this machine has seen 2"):
        find_current(address, reader.settings, held=held)
    assert find_current(address, reader.settings).manifest.revision == 1


# The memory on disk


def test_a_memory_without_freshness_is_written_as_before(reader: Reader, tmp_path: Path) -> None:
    reader.open(edition(1).write(tmp_path / "server")).close()
    record = json.loads((reader.directory / "state" / "seen" / f"{NAME}.json").read_text())
    assert set(record[keys_digest([keys().public])]) == {"revision", "timestamp", "root_catalog"}


def test_an_older_memory_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    states = SeenRevisions(tmp_path)
    newer = Seen(Revision(2), 10, Digest.of(b""), SeenFreshness(None, FreshnessAnnouncement(60), 5))
    states.remember(NAME, "k", newer)
    for older in (
        replace(newer, revision=Revision(1)),
        replace(newer, timestamp=9),
        replace(newer, freshness=SeenFreshness(None, None, 4)),
    ):
        states.remember(NAME, "k", older)
        assert states.recall(NAME, "k") == newer


@pytest.mark.parametrize("freshness", [{"metainfo": "x"}, {"announcement": {"maximum_age": 0}}, {"issued": "x"}, []])
def test_a_spoiled_memory_is_an_error(tmp_path: Path, freshness: object) -> None:
    states = SeenRevisions(tmp_path)
    states.remember(NAME, "k", Seen(Revision(1), None, Digest.of(b"")))
    path = states.path(NAME)
    document = json.loads(path.read_text())
    document["k"]["freshness"] = freshness
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError):
        states.recall(NAME, "k")
