"""The attacks that the specification of The Update Framework names, against a mount that is open already.

While a program reads from it, the server turns bad. The mount goes on to show the last good state, says in its status
what is wrong, and answers EIO where it has no right bytes. It never shows wrong ones, nor two editions at once. When
the server is good again, it goes on to the newest edition. All of it within `STATED_SECONDS` a step.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from tests.client.attacks.conftest import STATED_SECONDS, Machine
from tests.client.attacks.open_mount import HELD
from tests.client.attacks.private_program import PrivateProgram, reason_against
from tests.client.attacks.promised import (
    EXPIRED,
    FILES,
    HOUR,
    OBJECTS,
    WEEK,
    contents,
    edition,
    promising,
    record_of,
    signed_record,
)
from tests.client.attacks.reading_once import LAYERS, MOUNT, Order
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
"""The edition that is mounted while the server is good."""


@dataclass
class Read:
    """What a program found: the bytes of files, and the errno of what it could not read."""

    files: Mapping[str, bytes]
    failures: Mapping[str, str]

    def is_right(self, revision: int) -> bool:
        """Whether all of the edition `revision` was read, and nothing else."""
        return not self.failures and self.files == contents(revision)


@dataclass
class Mount:
    """An open mount of what `site` serves. `shown` is the edition that it shows as far as we know."""

    site: Site
    program: PrivateProgram
    shown: int = FIRST
    errors: int = 0

    def ask(self, **request: object) -> Any:
        began = time.monotonic()
        answer = self.program.ask(request)
        assert time.monotonic() - began < STATED_SECONDS
        return answer

    def read(self, *names: str) -> Read:
        answer = self.ask(do="read", names=names)
        return Read({name: base64.b64decode(text) for name, text in answer["files"].items()}, answer["failures"])

    def held(self) -> bytes:
        return base64.b64decode(self.ask(do="held"))

    def look(self) -> Mapping[str, Any]:
        report: Mapping[str, Any] = self.ask(do="look")
        return report

    def withstands(self, offered: int, words: str = "", *, asked: bool = True) -> Mapping[str, Any]:
        """Checks that what the server shows now, which passes for the edition `offered`, does no harm: `words` are in
        what the status says. What is never `asked` for goes unnoticed. Returns the report of the mount."""
        report: Mapping[str, Any] = self.look()
        assert report["revision"] in (self.shown, offered)
        self.shown = report["revision"]
        found = self.read()
        assert found.files.items() <= contents(self.shown).items()
        assert set(found.failures.values()) <= {"EIO"}
        assert self.held() == contents(FIRST)[HELD]
        report = self.ask(do="report")
        told = report["check"]["problem"] + (report["last_error"] if report["errors"] > self.errors else "")
        assert bool(told) == asked
        assert words in told
        assert found.is_right(self.shown) != bool(found.failures)
        self.errors = report["errors"]
        return report

    def recovers(self, published: Published) -> None:
        """Checks that all is well when the server is good again, and has `published`."""
        self.site.files, self.site.faults, self.site.every = dict(published.files), {}, None
        report = self.look()
        assert report["check"]["problem"] == ""
        assert report["revision"] == published.revision
        assert self.read().is_right(published.revision)
        assert self.held() == contents(FIRST)[HELD]
        self.shown = published.revision


@pytest.fixture(params=[MOUNT, LAYERS])
def mount(request: pytest.FixtureRequest, tmp_path: Path, machine: Machine) -> Iterator[Mount]:
    """An open mount of the edition `FIRST`: a file of it is held open, and nothing else has been read."""
    way: str = request.param
    if reason_against(way):
        pytest.skip(reason_against(way))
    key = tmp_path / "key.pub"
    key.write_bytes(keys().public_pem)
    site = Site(dict(promising(FIRST).files))
    with serving(site) as url:
        order = Order(str(tmp_path), (url,), str(key), NOW.isoformat(), way=way, patience=False)
        with machine.open(order) as program:
            mount = Mount(site, program)
            assert mount.read(HELD).files == {HELD: contents(FIRST)[HELD]}
            yield mount


def with_fault(mount: Mount, published: Published, kind: str, fault: Behaviour) -> None:
    """The server has `published`, and answers for the object called `kind` as `fault` says."""
    mount.site.files, mount.site.faults = dict(published.files), {path_of(published, kind): fault}


# Arbitrary software installation


def test_arbitrary_software_installation(mount: Mount) -> None:
    """Something of the attacker's own making lies under one name, one kind after the other."""
    for step, kind in enumerate(EVERY_KIND):
        honest = promising(3 + 2 * step, issued=NOW - HOUR + timedelta(minutes=step))
        other = promising(3 + 2 * step, owner=keys("attacker"))
        forged: MutableMapping[str, bytes] = {**other.files, **honest.files}
        forged[path_of(honest, kind)] = other.files[path_of(other, kind)] if kind in SIGNED else b"x" * 500
        mount.site.files = dict(forged)
        # Meta-information that has been seen is not asked for again.
        mount.withstands(honest.revision, asked=kind != "metainfo")
        mount.recovers(promising(4 + 2 * step, issued=NOW - HOUR + timedelta(minutes=step)))


# Endless data


def test_endless_data(mount: Mount) -> None:
    """One name is answered with bytes that never end."""
    for step, kind in enumerate(EVERY_KIND):
        with_fault(mount, promising(3 + 2 * step), kind, endless)
        mount.withstands(3 + 2 * step, asked=kind != "metainfo")
        mount.recovers(promising(4 + 2 * step))


# Extraneous dependencies


def test_extraneous_dependencies(mount: Mount) -> None:
    """A catalog that is well made, with one more entry in it, takes the place of the signed one."""
    honest = promising(3)
    larger = Published(dict(honest.files), revision=3)
    driver = larger.file(b"driver", b"Install me as well.")
    extra = larger.catalog({b"/driver": driver})
    larger.files[path_of(honest, "root")] = larger.files[ObjectName(extra.digest, ObjectKind.CATALOG).path]
    mount.site.files = dict(larger.files)
    assert mount.withstands(3, "digest")["revision"] == FIRST
    assert driver.digest is not None
    assert ObjectName(driver.digest, ObjectKind.FILE).path not in mount.site.requests
    mount.recovers(honest)


# Fast-forward


def test_fast_forward(mount: Mount) -> None:
    """A revision that nothing could follow, and a record from the future, leave no trace."""
    mount.site.files = dict(promising(FAR_AHEAD, owner=keys("attacker")).files)
    assert mount.withstands(FAR_AHEAD)["revision"] == FIRST
    mount.recovers(promising(3))
    mount.site.files = dict(promising(4, issued=NOW + timedelta(days=2000)).files)
    assert mount.withstands(4, "issued in the future")["revision"] == 3
    mount.recovers(promising(4))


# Indefinite freeze


def test_indefinite_freeze(mount: Mount) -> None:
    """The same files for ever: told of when the record ends, by which time what is shown may be old."""
    later = NOW + WEEK
    mount.ask(do="now", now=later.isoformat())
    assert mount.withstands(FIRST, EXPIRED)["check"]["outcome"] == "failed"
    forged = {**promising(FIRST).files}
    forged[FRESHNESS_NAME] = signed_record(record_of(promising(FIRST), later - HOUR), keys("attacker").signing)
    mount.site.files = forged
    mount.withstands(FIRST, "signature")
    del forged[FRESHNESS_NAME]
    mount.withstands(FIRST, "freshness record")
    mount.recovers(promising(3, issued=later - HOUR))


def test_indefinite_freeze_by_a_promise_that_was_not_made_yet(mount: Mount) -> None:
    """The edition before the promise would be good for ever."""
    mount.site.files = dict(edition(FIRST).files)
    mount.withstands(FIRST)
    mount.recovers(promising(3))


# Malicious mirrors preventing updates


@pytest.mark.parametrize(
    "fault",
    [html_page, status(404), status(503), hang_up, truncated(b"x" * 1000), redirect("/")],
    ids=["html", "404", "503", "hang-up", "truncated", "redirects"],
)
def test_malicious_mirrors_preventing_updates(mount: Mount, fault: Behaviour) -> None:
    """Everything is answered wrongly from one moment on."""
    mount.site.every = fault
    report = mount.withstands(FIRST)
    assert (report["revision"], report["check"]["outcome"]) == (FIRST, "failed")
    assert report["errors"], "what is not in the cache cannot be read"
    mount.recovers(promising(3))


def test_malicious_mirrors_preventing_updates_by_being_behind(mount: Mount) -> None:
    """The mirror stays where it is, and even passes on the record that says so."""
    mount.site.files[FRESHNESS_NAME] = promising(3).files[FRESHNESS_NAME]
    mount.withstands(FIRST, "old one")
    mount.recovers(promising(3))


# Mix-and-match


def test_mix_and_match(mount: Mount) -> None:
    """One part of the new edition is replaced by the same part of the old one."""
    for step, kind in enumerate((*OBJECTS, "record")):
        old, new = promising(mount.shown), promising(mount.shown + 1)
        mixed = {**old.files, **new.files}
        mixed[path_of(new, kind)] = old.files[path_of(old, kind)]
        if kind == "record":
            # The old manifest with the record of the new one.
            mixed[MANIFEST_NAME], mixed[FRESHNESS_NAME] = old.files[MANIFEST_NAME], new.files[FRESHNESS_NAME]
        mount.site.files = mixed
        mount.withstands(new.revision)
        mount.recovers(promising(new.revision + 1))
        assert mount.shown == FIRST + 2 * (step + 1)


def test_mix_and_match_under_one_number(mount: Mount) -> None:
    """Another tree with the number of the one that is shown, signed by the right key."""
    mount.site.files = dict(promising(FIRST, root_catalog=promising(1).manifest().root_catalog).files)
    assert mount.withstands(FIRST, "another content")["check"]["outcome"] == "failed"
    mount.recovers(promising(3))


# Rollback


def test_rollback(mount: Mount) -> None:
    """The server goes back to an older edition, with everything that belonged to it."""
    mount.site.files = dict(promising(1).files)
    report = mount.withstands(1)
    assert (report["revision"], report["check"]["outcome"]) == (FIRST, "failed")
    mount.recovers(promising(3))
    mount.site.files[FRESHNESS_NAME] = promising(3, issued=NOW - 2 * HOUR).files[FRESHNESS_NAME]
    mount.withstands(3, "was issued")
    mount.recovers(promising(4))


# Slow retrieval


def test_slow_retrieval(mount: Mount) -> None:
    """A byte now and then, for as long as the reader waits."""
    for kind in ("manifest", "root", "chunk"):
        with_fault(mount, promising(mount.shown + 1), kind, drip)
        mount.withstands(mount.shown + 1)
        mount.recovers(promising(mount.shown + 1 if mount.shown % 2 else mount.shown + 2))


# Vulnerability to key compromises


def test_vulnerability_to_key_compromises(mount: Mount) -> None:
    """The signing key is stolen, and its certificate taken off the whitelist: from then on it is worth nothing."""
    successor = replace(keys(), signing=keys("successor").signing, certificate=keys("successor").certificate)
    new = promising(3, owner=successor)
    stolen = dict(promising(4).files)
    stolen[WHITELIST_NAME] = new.files[WHITELIST_NAME]
    mount.site.files = stolen
    assert mount.withstands(4, "does not list")["revision"] == FIRST
    forged = replace(record_of(new), certificate=new.add(keys().certificate.pem, ObjectKind.CERTIFICATE))
    mount.site.files = {**new.files, FRESHNESS_NAME: signed_record(forged, keys().signing)}
    assert mount.withstands(3, "does not list")["revision"] == FIRST
    mount.recovers(promising(3, owner=successor))


def test_vulnerability_to_key_compromises_that_a_site_knows_of(mount: Mount) -> None:
    """A site's blacklist stops a stolen key before the owner has acted, in mounts that are open, too."""
    mount.site.files = dict(promising(3).files)
    mount.ask(do="forbid", text=f"{keys().certificate.fingerprint(Algorithm.SHA1).text}\n")
    assert mount.withstands(3, "blacklist")["revision"] == FIRST
    mount.ask(do="forbid", text="")
    mount.recovers(promising(3))


# Wrong software installation


def test_wrong_software_installation(mount: Mount) -> None:
    """A file of the repository, whole and published, under the name of another one."""
    honest = promising(3)
    book, page = (honest.file(b"", contents(3)[name]).digest for name in ("shelf/book", "edition"))
    assert book is not None
    assert page is not None
    swapped = dict(honest.files)
    swapped[ObjectName(book, ObjectKind.FILE).path] = honest.files[ObjectName(page, ObjectKind.FILE).path]
    mount.site.files = swapped
    assert mount.withstands(3, "digest")["revision"] == 3
    assert mount.read(*FILES).failures == {"shelf/book": "EIO"}
    mount.recovers(promising(4))


def test_wrong_software_installation_of_another_repository(mount: Mount) -> None:
    """Another repository of the same owner, with the same keys, takes the place of the one that is mounted."""
    other = edition(5)
    other.name = RepositoryName("games.example.org")
    other.sign()
    mount.site.files = dict(other.files)
    assert mount.withstands(5, "another repository")["revision"] == FIRST
    mount.recovers(promising(3))
