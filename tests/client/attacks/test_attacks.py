"""The attacks that the specification of The Update Framework names (section 1.5.2), each against every way of reading.

Ten are in the current text; "slow retrieval" is in those before. The attacker has all the network: servers of its own,
every file that the repository ever published, no key unless a test says so. Each attack ends in refusal, or in the
right bytes from another server, within `STATED_SECONDS`. What is read is never of two editions at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from tests.client.attacks.conftest import Victim, Web, is_right, never_wrong
from tests.client.attacks.promised import (
    EXPIRED,
    HOUR,
    WEEK,
    contents,
    edition,
    promising,
    record_of,
    sign_promise,
    signed_record,
)
from tests.client.published import NOW, Published, keys, signed_manifest, signed_whitelist
from tests.faulty_server import (
    Behaviour,
    Site,
    drip,
    endless,
    hang_up,
    html_page,
    redirect,
    serving,
    status,
    truncated,
)

EVERY_KIND = ("manifest", "whitelist", "record", "certificate", "metainfo", "root", "nested", "file", "chunk")
FAR_AHEAD = 2**37
"""A revision that nobody reaches, and with it a time of publishing in the year 6300."""
SIGNED = {"manifest": MANIFEST_NAME, "whitelist": WHITELIST_NAME, "record": FRESHNESS_NAME}


def path_of(published: Published, kind: str) -> str:
    """Where the object or file called `kind` lies."""
    assert published.root is not None
    root = ObjectName(published.root.digest, ObjectKind.CATALOG).path
    objects = [path for path in published.files if path.startswith("data/")]
    found = {
        **SIGNED,
        "root": root,
        "certificate": next(path for path in objects if path.endswith("X")),
        "metainfo": next(path for path in objects if path.endswith("M")),
        "nested": next(path for path in objects if path.endswith("C") and path != root),
        "chunk": next(path for path in objects if path.endswith("P")),
        "file": next(path for path in objects if path[-1].islower() or path[-1].isdigit()),
    }
    return found[kind]


def with_fault(published: Published, kind: str, fault: Behaviour) -> Site:
    return Site(published.files, faults={path_of(published, kind): fault})


# Arbitrary software installation


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_arbitrary_software_installation(victim: Victim, web: Web, kind: str) -> None:
    """Something of the attacker's own making lies under one name; everything else is right."""
    honest = promising(2)
    other = promising(2, owner=keys("attacker"))
    forged = Published(dict(honest.files))
    forged.files.update({path: data for path, data in other.files.items() if path not in honest.files})
    forged.files[path_of(honest, kind)] = other.files[path_of(other, kind)] if kind in SIGNED else b"x" * 500
    hostile = web.serve(forged)
    alone = victim.read(hostile)
    assert never_wrong(alone, 2)
    assert not is_right(alone, 2)
    assert is_right(victim.read(hostile, web.serve(honest)), 2)


# Endless data


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_endless_data(victim: Victim, web: Web, kind: str) -> None:
    """One name is answered with bytes that never end."""
    honest = promising(2)
    hostile = web.serve(with_fault(honest, kind, endless))
    alone = victim.read(hostile)
    assert never_wrong(alone, 2)
    assert not is_right(alone, 2)
    assert is_right(victim.read(hostile, web.serve(honest)), 2)


# Extraneous dependencies: nothing here makes a reader fetch what it did not ask for. What comes nearest is content that
# a catalog, or an announcement, would bring along.


def test_extraneous_dependencies_in_a_catalog(victim: Victim, web: Web) -> None:
    """A catalog that is well made, with one more entry in it, takes the place of the signed one."""
    honest = promising(2)
    larger = Published(dict(honest.files), revision=2)
    extra = larger.catalog({b"/driver": larger.file(b"driver", b"Install me as well.")})
    larger.files[path_of(honest, "root")] = larger.files[ObjectName(extra.digest, ObjectKind.CATALOG).path]
    hostile = web.serve(larger)
    assert victim.read(hostile).refusal == "IntegrityError"
    assert is_right(victim.read(hostile, web.serve(honest)), 2)


def test_extraneous_dependencies_by_an_announced_server(victim: Victim) -> None:
    """A server that the repository names for its record is asked for nothing else."""
    named = Site(promising(9).files)
    with serving(named) as url:
        published = promising(2, servers=(url,))
        named.files[FRESHNESS_NAME] = published.files.pop(FRESHNESS_NAME)
        with serving(Site(published.files)) as server:
            assert is_right(victim.read(server), 2)
    assert set(named.requests) == {FRESHNESS_NAME}


# Fast-forward


def test_fast_forward_without_a_key(victim: Victim, web: Web) -> None:
    """A revision that nothing could follow, not signed by anybody we know, leaves no trace."""
    forged = promising(FAR_AHEAD, owner=keys("attacker"))
    assert victim.read(web.serve(forged)).refusal == "TrustError"
    assert is_right(victim.read(web.serve(promising(2))), 2)


def test_fast_forward_of_the_record(victim: Victim, web: Web) -> None:
    """A record that was issued in the future, even by the right key, does not make later ones look old."""
    ahead = promising(2, issued=NOW + timedelta(days=2000))
    refused = victim.read(web.serve(ahead))
    assert (refused.refusal, "issued in the future" in refused.sentence) == ("TrustError", True)
    assert is_right(victim.read(web.serve(promising(2))), 2)


def test_fast_forward_with_a_stolen_key_is_over_when_the_keys_are_replaced(victim: Victim, web: Web) -> None:
    stolen = promising(FAR_AHEAD)
    assert is_right(victim.read(web.serve(stolen)), FAR_AHEAD)
    assert victim.read(web.serve(promising(3))).refusal == "TrustError"
    victim.owner = keys("the owner after the theft")
    assert is_right(victim.read(web.serve(promising(3, owner=victim.owner))), 3)


# Indefinite freeze


def test_indefinite_freeze(victim: Victim, web: Web) -> None:
    """The same files for ever: good as long as the record is, and no longer. An honest server still helps."""
    frozen = web.serve(promising(1))
    assert is_right(victim.read(frozen), 1)
    later = NOW + WEEK
    refused = victim.read(frozen, now=later)
    assert (refused.refusal, "freshness record" in refused.sentence) == ("TrustError", True)
    assert EXPIRED in refused.sentence
    assert is_right(victim.read(frozen, web.serve(promising(2, issued=later - HOUR)), now=later), 2)


def test_indefinite_freeze_by_a_record_of_its_own(victim: Victim, web: Web) -> None:
    """A fresh record for the old edition that names the right certificate, signed with another key."""
    later = NOW + WEEK
    frozen = promising(1)
    frozen.files[FRESHNESS_NAME] = signed_record(record_of(frozen, later - HOUR), keys("attacker").signing)
    refused = victim.read(web.serve(frozen), now=later)
    assert (refused.refusal, "signature" in refused.sentence) == ("TrustError", True)


def test_indefinite_freeze_by_a_record_with_a_long_life(victim: Victim, web: Web) -> None:
    """A record that outlives the announced age, signed before that was shortened, ends with the announced age."""
    published = promising(1, expires=int((NOW + 100 * WEEK).timestamp()))
    assert is_right(victim.read(web.serve(published)), 1)
    assert victim.read(web.serve(published), now=NOW + WEEK).refusal == "TrustError"


@pytest.mark.parametrize("kind", ["record", "metainfo"])
def test_indefinite_freeze_by_leaving_out(victim: Victim, web: Web, kind: str) -> None:
    """The attacker has no fresh record, so it hides that there is one, or that one is promised."""
    old = promising(1)
    del old.files[path_of(old, kind)]
    hostile = web.serve(old)
    assert victim.read(hostile).refusal in ("TrustError", "NotFound")
    assert is_right(victim.read(hostile, web.serve(promising(2))), 2)
    assert victim.read(hostile).refusal == "TrustError"


def test_indefinite_freeze_by_a_promise_that_was_not_made_yet(victim: Victim, web: Web) -> None:
    """The edition before the promise would be good for ever; whoever has seen the promise does not take it."""
    before = edition(2)
    assert is_right(victim.read(web.serve(promising(2))), 2)
    assert victim.read(web.serve(before)).refusal == "TrustError"
    withdrawn = web.serve(edition(3))
    assert is_right(victim.read(withdrawn), 3)


def test_indefinite_freeze_without_a_promise_ends_with_the_whitelist(victim: Victim, web: Web) -> None:
    server = web.serve(edition(1))
    assert is_right(victim.read(server, now=NOW + timedelta(days=29)), 1)
    assert victim.read(server, now=NOW + timedelta(days=30)).refusal == "TrustError"


# Malicious mirrors preventing updates


@pytest.mark.parametrize(
    "fault",
    [html_page, status(404), status(503), hang_up, truncated(b"x" * 1000), redirect("/")],
    ids=["html", "404", "503", "hang-up", "truncated", "redirects"],
)
def test_malicious_mirrors_preventing_updates(victim: Victim, web: Web, fault: Behaviour) -> None:
    """The mirror that is asked first answers everything wrongly, now and after we have read from it."""
    bad, good = Site(promising(1).files), web.serve(promising(2, issued=NOW))
    address = web.serve(bad)
    assert is_right(victim.read(address), 1)
    bad.every = fault
    assert is_right(victim.read(address, good), 2)


def test_malicious_mirrors_preventing_updates_by_being_behind(victim: Victim, web: Web) -> None:
    """A mirror stays behind, and even passes on the record that says so. Readers turn to another."""
    behind = promising(1)
    current = promising(2)
    behind.files[FRESHNESS_NAME] = current.files[FRESHNESS_NAME]
    address = web.serve(behind)
    assert is_right(victim.read(address, web.serve(current)), 2)
    assert victim.read(address).refusal == "TrustError"


# Mix-and-match


@pytest.mark.parametrize("kind", ["root", "nested", "file", "chunk", "record"])
def test_mix_and_match(victim: Victim, web: Web, kind: str) -> None:
    """One part of the new edition is replaced by the same part of the old one."""
    old, new = promising(1), promising(2)
    mixed = Published({**old.files, **new.files})
    mixed.files[path_of(new, kind)] = old.files[path_of(old, kind)]
    if kind == "record":
        mixed.files[MANIFEST_NAME], mixed.files[FRESHNESS_NAME] = old.files[MANIFEST_NAME], new.files[FRESHNESS_NAME]
    hostile = web.serve(mixed)
    alone = victim.read(hostile)
    assert never_wrong(alone, 2)
    assert not is_right(alone, 2)
    assert is_right(victim.read(hostile, web.serve(new)), 2)


def test_mix_and_match_under_one_number(victim: Victim, web: Web) -> None:
    """Two trees with one revision number, both signed: the record says which one is meant."""
    assert promising(1).root is not None
    other = promising(2, root_catalog=promising(1).manifest().root_catalog)
    refused = victim.read(web.serve(other))
    assert (refused.refusal, "another content" in refused.sentence) == ("TrustError", True)


# Rollback


def test_rollback(victim: Victim, web: Web) -> None:
    """An older edition, with everything that belonged to it, after a newer one was seen."""
    old, new = web.serve(promising(1)), web.serve(promising(2))
    assert is_right(victim.read(new), 2)
    assert victim.read(old).refusal == "TrustError"
    assert is_right(victim.read(old, new), 2)


def test_rollback_on_a_machine_that_has_seen_nothing(victim: Victim, web: Web) -> None:
    """The old edition has no record that still holds, and the new record does not fit it."""
    old = promising(1, issued=NOW - 2 * WEEK)
    assert victim.read(web.serve(old)).refusal == "TrustError"
    old.files[FRESHNESS_NAME] = promising(2).files[FRESHNESS_NAME]
    refused = victim.read(web.serve(old))
    assert (refused.refusal, "it is an old one" in refused.sentence) == ("TrustError", True)


def test_rollback_of_the_record(victim: Victim, web: Web) -> None:
    """A record that has not ended, but is older than one that was seen."""
    new = promising(2, issued=NOW - HOUR)
    old = promising(2, issued=NOW - 2 * HOUR)
    assert is_right(victim.read(web.serve(new)), 2)
    assert victim.read(web.serve(old)).refusal == "TrustError"
    assert is_right(victim.read(web.serve(old), web.serve(new)), 2)


# Slow retrieval


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("manifest",), ("record", "chunk")], ids="-".join)
def test_slow_retrieval(victim: Victim, web: Web, kinds: tuple[str, ...]) -> None:
    """A byte now and then, for as long as the reader waits; another server is at hand."""
    honest = promising(2)
    hostile = Site(honest.files, faults={path_of(honest, kind): drip for kind in kinds})
    assert is_right(victim.read(web.serve(hostile), web.serve(honest)), 2)


# Vulnerability to key compromises


def test_vulnerability_to_key_compromises(victim: Victim, web: Web) -> None:
    """The signing key is stolen, and its certificate taken off the whitelist: from then on it is worth nothing."""
    successor = replace(keys(), signing=keys("successor").signing, certificate=keys("successor").certificate)
    new = promising(3, owner=successor)
    stolen = promising(4)
    stolen.files[WHITELIST_NAME] = new.files[WHITELIST_NAME]
    refused = victim.read(web.serve(stolen))
    assert (refused.refusal, "does not list" in refused.sentence) == ("TrustError", True)
    assert is_right(victim.read(web.serve(stolen), web.serve(new)), 3)


def test_vulnerability_to_key_compromises_of_the_record(victim: Victim, web: Web) -> None:
    """The stolen key signs no records either: a frozen edition stays frozen only until its own record ends."""
    successor = replace(keys(), signing=keys("successor").signing, certificate=keys("successor").certificate)
    new = promising(3, owner=successor)
    forged = replace(record_of(new), certificate=new.add(keys().certificate.pem, ObjectKind.CERTIFICATE))
    hostile = Published({**new.files, FRESHNESS_NAME: signed_record(forged, keys().signing)})
    refused = victim.read(web.serve(hostile))
    assert (refused.refusal, "does not list" in refused.sentence) == ("TrustError", True)
    assert is_right(victim.read(web.serve(hostile), web.serve(new)), 3)


def test_vulnerability_to_key_compromises_that_a_site_knows_of(victim: Victim, web: Web) -> None:
    """A site's blacklist stops a stolen key before the owner has acted."""
    fingerprint = keys().certificate.fingerprint(Algorithm.SHA1)
    refused = victim.read(web.serve(promising(1)), forbidden=[fingerprint])
    assert (refused.refusal, "blacklist" in refused.sentence) == ("TrustError", True)


def test_vulnerability_to_key_compromises_does_not_reach_the_whitelist(victim: Victim, web: Web) -> None:
    """Whoever holds the signing key cannot let another certificate in: that takes the master key."""
    stolen = promising(2, owner=replace(keys("attacker"), master=keys().signing))
    stolen.files[WHITELIST_NAME] = signed_whitelist(stolen.whitelist(), keys().signing)
    assert victim.read(web.serve(stolen)).refusal == "TrustError"


# Wrong software installation


def test_wrong_software_installation(victim: Victim, web: Web) -> None:
    """A file of the repository, whole and published, under the name of another one."""
    honest = promising(2)
    swapped = Published(dict(honest.files))
    book = honest.file(b"", contents(2)["shelf/book"]).digest
    page = honest.file(b"", contents(2)["edition"]).digest
    assert book is not None
    assert page is not None
    swapped.files[ObjectName(book, ObjectKind.FILE).path] = honest.files[ObjectName(page, ObjectKind.FILE).path]
    hostile = web.serve(swapped)
    alone = victim.read(hostile)
    assert set(alone.failures) == {"shelf/book"}
    assert never_wrong(alone, 2)
    assert is_right(victim.read(hostile, web.serve(honest)), 2)


def test_wrong_software_installation_of_another_repository(victim: Victim, web: Web) -> None:
    """Another repository of the same owner, with the same keys, in the place of the one that was asked for."""
    other = edition(5)
    other.name = RepositoryName("games.example.org")
    other.sign()
    hostile = web.serve(other)
    refused = victim.read(hostile)
    assert (refused.refusal, "another repository" in refused.sentence) == ("TrustError", True)
    assert is_right(victim.read(hostile, web.serve(promising(2))), 2)


def test_wrong_software_installation_by_another_record(victim: Victim, web: Web) -> None:
    """The fresh record of another repository of the same owner keeps no promise of this one."""
    published = promising(2, repository=RepositoryName("games.example.org"))
    refused = victim.read(web.serve(published))
    assert (refused.refusal, "another repository" in refused.sentence) == ("TrustError", True)


# What is no attack


def test_servers_that_are_not_up_to_date_yet_are_read_for_a_while(victim: Victim, web: Web) -> None:
    """The record lets copies be behind by the time that they commonly take."""
    published = promising(1)
    published.files[FRESHNESS_NAME] = promising(2, oldest=Revision(1)).files[FRESHNESS_NAME]
    behind = web.serve(published)
    assert is_right(victim.read(behind), 1)
    assert is_right(victim.read(behind, web.serve(promising(2))), 2)


def test_clocks_may_differ_a_little(victim: Victim, web: Web) -> None:
    server = web.serve(promising(1, issued=NOW + timedelta(minutes=4)))
    assert is_right(victim.read(server), 1)
    assert is_right(victim.read(server, now=NOW + WEEK + timedelta(minutes=8)), 1)


def test_a_promise_that_is_taken_back_by_a_later_manifest_is_not_demanded(victim: Victim, web: Web) -> None:
    published = promising(2)
    assert is_right(victim.read(web.serve(published)), 2)
    without = Published(dict(published.files), revision=2, root=published.root)
    metainfo = without.add(Metainfo(organisation="no promise").encode(), ObjectKind.METAINFO)
    sign_promise(without, metainfo)
    del without.files[FRESHNESS_NAME]
    # Of the same second as the one that made the promise: it could be the one before.
    assert victim.read(web.serve(without)).refusal == "TrustError"
    later = replace(without.manifest(metainfo=metainfo), published_at=(without.manifest().published_at or 0) + 1)
    without.files[MANIFEST_NAME] = signed_manifest(later, keys().signing)
    assert is_right(victim.read(web.serve(without)), 2)
