"""The attacks that the specification of The Update Framework names, against a run after others.

The cache is warm: a run before has read everything while the server was good. Then the server turns bad. The next run
sees one edition whole, which is the last good one or the one that the server has a right to show, or it is told what it
cannot read, or it does not begin. When the server is good again, runs see the newest edition. The kernel shows what is
in the cache without asking us, so nothing wrong may have come to lie there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from tests.client.attacks.conftest import Machine, Victim, is_right, never_wrong
from tests.client.attacks.private_program import reason_against
from tests.client.attacks.promised import (
    EXPIRED,
    HOUR,
    OBJECTS,
    WEEK,
    contents,
    edition,
    promising,
    record_of,
    signed_record,
)
from tests.client.attacks.reading_once import NOTES, RUNS, Answer
from tests.client.attacks.test_attacks import EVERY_KIND, FAR_AHEAD, SIGNED, path_of
from tests.client.published import NOW, Published, keys
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

pytestmark = pytest.mark.integration

FIRST = 2
"""The edition that was read while the server was good."""


@dataclass
class Runs:
    """One run after the other of what `site` serves at `url`. `shown` is the newest edition that one of them saw."""

    victim: Victim
    site: Site
    url: str
    shown: int = FIRST
    now: datetime = NOW

    def next(self) -> Answer:
        """What a run sees now."""
        answer = self.victim.read(self.url, now=self.now)
        assert set(answer.failures.values()) <= {"EIO"}
        return answer

    def withstands(self, offered: int, *, asked: bool = True) -> Answer:
        """Checks that what the server shows now, which passes for the edition `offered`, does no harm to a run, and
        that its user is told. What is never `asked` for goes unnoticed. Returns what the run saw."""
        answer = self.next()
        if is_right(answer, self.shown):
            # As if no server answered.
            assert f"revision {self.shown} is shown" in (self.victim.directory / NOTES).read_text()
        else:
            assert never_wrong(answer, offered)
            assert is_right(answer, offered) != asked
        return answer

    def refuses(self, words: str, error: str = "TrustError") -> None:
        """Checks that no run begins, for a reason in which there are `words`."""
        answer = self.next()
        assert (answer.refusal, words in answer.sentence) == (error, True), answer.sentence
        assert not answer.files

    def recovers(self, published: Published) -> None:
        """Checks that a run sees all of `published` when the server is good again, and has it."""
        self.site.files, self.site.faults, self.site.every = dict(published.files), {}, None
        self.shown = published.revision
        assert is_right(self.next(), self.shown)


@pytest.fixture(params=RUNS)
def runs(request: pytest.FixtureRequest, tmp_path: Path, machine: Machine) -> Iterator[Runs]:
    """A run has read all of the edition `FIRST`."""
    way: str = request.param
    if reason_against(way):
        pytest.skip(reason_against(way))
    site = Site()
    with serving(site) as url:
        runs = Runs(Victim(tmp_path / "victim", way, machine), site, url)
        runs.recovers(promising(FIRST))
        yield runs


# Arbitrary software installation


def test_arbitrary_software_installation(runs: Runs) -> None:
    """Something of the attacker's own making lies under one name, one kind after the other."""
    for step, kind in enumerate(EVERY_KIND):
        honest = promising(3 + 2 * step)
        other = promising(3 + 2 * step, owner=keys("attacker"))
        forged = {**other.files, **honest.files}
        forged[path_of(honest, kind)] = other.files[path_of(other, kind)] if kind in SIGNED else b"x" * 500
        runs.site.files = forged
        # Meta-information that has been seen is not asked for again.
        runs.withstands(honest.revision, asked=kind != "metainfo")
        runs.recovers(promising(4 + 2 * step))


def test_arbitrary_software_installation_in_what_was_read_before(runs: Runs) -> None:
    """Objects that are in the cache are not asked for, whatever lies under their names now."""
    published = promising(FIRST)
    for kind in OBJECTS:
        runs.site.files = {**published.files, path_of(published, kind): b"x" * 500}
        assert is_right(runs.next(), FIRST)
    runs.recovers(promising(3))


# Endless data


def test_endless_data(runs: Runs) -> None:
    """One name is answered with bytes that never end."""
    for step, kind in enumerate(EVERY_KIND):
        honest = promising(3 + 2 * step)
        runs.site.files, runs.site.faults = dict(honest.files), {path_of(honest, kind): endless}
        runs.withstands(honest.revision, asked=kind != "metainfo")
        runs.recovers(promising(4 + 2 * step))


# Extraneous dependencies


def test_extraneous_dependencies(runs: Runs) -> None:
    """A catalog that is well made, with one more entry in it, takes the place of the signed one."""
    honest = promising(3)
    larger = Published(dict(honest.files), revision=3)
    driver = larger.file(b"driver", b"Install me as well.")
    extra = larger.catalog({b"/driver": driver})
    larger.files[path_of(honest, "root")] = larger.files[ObjectName(extra.digest, ObjectKind.CATALOG).path]
    runs.site.files = dict(larger.files)
    runs.refuses("digest", "IntegrityError")
    assert driver.digest is not None
    assert ObjectName(driver.digest, ObjectKind.FILE).path not in runs.site.requests
    runs.recovers(honest)


# Fast-forward


def test_fast_forward(runs: Runs) -> None:
    """A revision that nothing could follow, and a record from the future, leave no trace."""
    runs.site.files = dict(promising(FAR_AHEAD, owner=keys("attacker")).files)
    runs.refuses("")
    runs.recovers(promising(3))
    runs.site.files = dict(promising(4, issued=NOW + timedelta(days=2000)).files)
    runs.refuses("issued in the future")
    runs.recovers(promising(4))


# Indefinite freeze


def test_indefinite_freeze(runs: Runs) -> None:
    """The same files for ever: what is in the cache is not shown for longer than the record holds."""
    runs.now = NOW + WEEK
    runs.refuses(EXPIRED)
    forged = dict(promising(FIRST).files)
    forged[FRESHNESS_NAME] = signed_record(record_of(promising(FIRST), runs.now - HOUR), keys("attacker").signing)
    runs.site.files = forged
    runs.refuses("signature")
    del forged[FRESHNESS_NAME]
    runs.refuses("freshness record")
    runs.recovers(promising(3, issued=runs.now - HOUR))


@pytest.mark.parametrize("fault", [status(503), hang_up], ids=["503", "hang-up"])
def test_indefinite_freeze_by_not_answering(runs: Runs, fault: Behaviour) -> None:
    """While no server answers, the cache is shown, though for no longer than the record holds that came last."""
    runs.site.every = fault
    assert is_right(runs.next(), FIRST)
    runs.now = NOW + WEEK
    runs.refuses(EXPIRED)
    runs.recovers(promising(3, issued=runs.now - HOUR))


def test_indefinite_freeze_by_a_promise_that_was_not_made_yet(runs: Runs) -> None:
    """The edition before the promise would be good for ever."""
    runs.site.files = dict(edition(FIRST).files)
    runs.refuses("")
    runs.recovers(promising(3))


# Malicious mirrors preventing updates


@pytest.mark.parametrize(
    "fault",
    [html_page, status(404), status(503), hang_up, truncated(b"x" * 1000), redirect("/")],
    ids=["html", "404", "503", "hang-up", "truncated", "redirects"],
)
def test_malicious_mirrors_preventing_updates(runs: Runs, fault: Behaviour) -> None:
    """Everything is answered wrongly from one moment on: another mirror has the update."""
    with serving(Site(promising(3).files)) as good:
        runs.site.every = fault
        assert is_right(runs.victim.read(runs.url, good), 3)


def test_malicious_mirrors_preventing_updates_by_being_behind(runs: Runs) -> None:
    """The mirror stays where it is, and even passes on the record that says so."""
    runs.site.files[FRESHNESS_NAME] = promising(3).files[FRESHNESS_NAME]
    runs.refuses("old one")
    runs.recovers(promising(3))


# Mix-and-match


def test_mix_and_match(runs: Runs) -> None:
    """One part of the new edition is replaced by the same part of the old one, which is in the cache."""
    for kind in (*OBJECTS, "record"):
        old, new = promising(runs.shown), promising(runs.shown + 1)
        mixed = {**old.files, **new.files}
        mixed[path_of(new, kind)] = old.files[path_of(old, kind)]
        if kind == "record":
            # The old manifest with the record of the new one.
            mixed[MANIFEST_NAME], mixed[FRESHNESS_NAME] = old.files[MANIFEST_NAME], new.files[FRESHNESS_NAME]
        runs.site.files = mixed
        runs.withstands(new.revision)
        runs.recovers(promising(new.revision + 1))


def test_mix_and_match_under_one_number(runs: Runs) -> None:
    """Another tree with the number of the one that was read, signed by the right key."""
    runs.site.files = dict(promising(FIRST, root_catalog=promising(1).manifest().root_catalog).files)
    runs.refuses("another content")
    runs.recovers(promising(3))


# Rollback


def test_rollback(runs: Runs) -> None:
    """The server goes back to an older edition, which is in the cache with all that belonged to it."""
    runs.recovers(promising(3))
    runs.site.files = dict(promising(FIRST).files)
    runs.refuses("")
    runs.recovers(promising(3))
    runs.site.files[FRESHNESS_NAME] = promising(3, issued=NOW - 2 * HOUR).files[FRESHNESS_NAME]
    runs.refuses("was issued")
    runs.recovers(promising(4))


# Slow retrieval


def test_slow_retrieval(runs: Runs) -> None:
    """A byte now and then, for as long as the reader waits."""
    honest = promising(3)
    runs.site.files, runs.site.faults = dict(honest.files), {path_of(honest, "chunk"): drip}
    assert set(runs.withstands(3).failures) == {"shelf/large"}
    runs.recovers(honest)


# Vulnerability to key compromises


def test_vulnerability_to_key_compromises(runs: Runs) -> None:
    """The signing key is stolen, and its certificate taken off the whitelist: from then on it is worth nothing."""
    successor = replace(keys(), signing=keys("successor").signing, certificate=keys("successor").certificate)
    new = promising(3, owner=successor)
    stolen = dict(promising(4).files)
    stolen[WHITELIST_NAME] = new.files[WHITELIST_NAME]
    runs.site.files = stolen
    runs.refuses("does not list")
    forged = replace(record_of(new), certificate=new.add(keys().certificate.pem, ObjectKind.CERTIFICATE))
    runs.site.files = {**new.files, FRESHNESS_NAME: signed_record(forged, keys().signing)}
    runs.refuses("does not list")
    runs.recovers(promising(3, owner=successor))


def test_vulnerability_to_key_compromises_that_a_site_knows_of(runs: Runs) -> None:
    """A site's blacklist stops a stolen key before the owner has acted, for what is in the cache, too."""
    fingerprint = keys().certificate.fingerprint(Algorithm.SHA1)
    refused = runs.victim.read(runs.url, forbidden=[fingerprint])
    assert (refused.refusal, "blacklist" in refused.sentence) == ("TrustError", True)
    runs.site.every = hang_up
    refused = runs.victim.read(runs.url, forbidden=[fingerprint])
    assert (refused.refusal, "blacklist" in refused.sentence) == ("TrustError", True)


# Wrong software installation


def test_wrong_software_installation(runs: Runs) -> None:
    """A file of the repository, whole and published, under the name of another one."""
    honest = promising(3)
    book, page = (honest.file(b"", contents(3)[name]).digest for name in ("shelf/book", "edition"))
    assert book is not None
    assert page is not None
    swapped = dict(honest.files)
    swapped[ObjectName(book, ObjectKind.FILE).path] = honest.files[ObjectName(page, ObjectKind.FILE).path]
    runs.site.files = swapped
    assert runs.withstands(3).failures == {"shelf/book": "EIO"}
    runs.recovers(promising(4))


def test_wrong_software_installation_of_another_repository(runs: Runs) -> None:
    """Another repository of the same owner, with the same keys, takes the place of the one that was read."""
    other = edition(5)
    other.name = RepositoryName("games.example.org")
    other.sign()
    runs.site.files = dict(other.files)
    runs.refuses("another repository")
    runs.recovers(promising(3))
