"""A freshness record that is promised is missed when it is gone, and told of when readers refuse it or soon will."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.freshness_announcement import DAY_SECONDS, FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.signatures import sign_manifest_digest
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import TrustError
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.signing.freshness_renewal import announce_freshness, refresh
from tests.client.published import keys
from tests.stratum0.checking import check_published, told
from tests.stratum0.conftest import Publisher


@pytest.fixture
def promising(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A repository that promises a record of seven days, and has published since."""
    announce_freshness(publisher.repository, FreshnessAnnouncement(7 * DAY_SECONDS), publisher.now)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    publisher.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "tree"),)))
    return publisher


def record_of(publisher: Publisher) -> FreshnessRecord:
    return FreshnessRecord.parse(SignedText.parse((publisher.storage / FRESHNESS_NAME).read_bytes(), "it").text)


def lay(publisher: Publisher, **changes: object) -> None:
    """Puts a record there that differs from ours by `changes`, signed with a key that nobody knows."""
    text = replace(record_of(publisher), **changes).encode()  # type: ignore[arg-type]
    digest = Digest.of(text)
    signature = sign_manifest_digest(keys("somebody").signing, digest.text.encode())
    (publisher.storage / FRESHNESS_NAME).write_bytes(SignedText(text, digest, signature).encode())


def test_a_promise_that_is_kept_is_clean(promising: Publisher) -> None:
    report = check_published(promising)
    assert report.is_clean
    assert not report.problems


def test_without_a_promise_a_record_is_not_missed(publisher: Publisher) -> None:
    assert not (publisher.storage / FRESHNESS_NAME).exists()
    assert not check_published(publisher).problems


def test_a_promised_record_is_missed(promising: Publisher) -> None:
    (promising.storage / FRESHNESS_NAME).unlink()
    report = check_published(promising)
    (problem,) = report.problems
    assert (problem.kind, problem.name) == (Kind.FRESHNESS, FRESHNESS_NAME)
    assert "readers refuse the manifest" in problem.detail
    assert "outcrop repo refresh" in problem.remedy("x.example.org")
    assert isinstance(report.error(), TrustError)


def test_a_record_is_warned_of_before_it_ends_and_refused_after(promising: Publisher) -> None:
    promising.now += timedelta(days=6)
    soon = check_published(promising)
    assert [problem.kind for problem in soon.problems] == [Kind.FRESHNESS_ENDING]
    assert soon.is_clean
    promising.now += timedelta(days=2)
    late = check_published(promising)
    assert [problem.kind for problem in late.problems] == [Kind.FRESHNESS]
    assert "expired on" in late.problems[0].detail
    refresh(promising.repository, promising.now)
    assert not check_published(promising).problems


def test_a_record_of_an_earlier_revision_is_noted(promising: Publisher, tmp_path: Path) -> None:
    earlier = (promising.storage / FRESHNESS_NAME).read_bytes()
    (tmp_path / "tree" / "more").write_text("y")
    promising.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "tree"),)))
    (promising.storage / FRESHNESS_NAME).write_bytes(earlier)
    report = check_published(promising)
    assert [problem.kind for problem in report.problems] == [Kind.FRESHNESS_ENDING]
    assert report.is_clean


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "its signature was not made with the key of its certificate"),
        ({"repository": RepositoryName("other.example.org")}, "is the record of other.example.org"),
        ({"root_catalog": Digest.of(b"another")}, "names another root catalog than the manifest for revision"),
        ({"revision": Revision(99), "oldest": Revision(99)}, "lets servers show no revision before 99"),
        ({"issued": 2**32, "expires": 2**33}, "was issued in the future"),
    ],
)
def test_a_record_that_readers_refuse_is_told_of(promising: Publisher, changes: dict[str, object], words: str) -> None:
    lay(promising, **changes)
    assert any(words in sentence for sentence in told(check_published(promising)))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"Nx\n--\nabc\n"])
def test_a_record_that_is_none_is_told_of(promising: Publisher, data: bytes) -> None:
    (promising.storage / FRESHNESS_NAME).write_bytes(data)
    report = check_published(promising)
    assert {problem.kind for problem in report.problems} == {Kind.FRESHNESS}


def test_a_certificate_that_is_not_listed_signs_nothing(promising: Publisher) -> None:
    stored = zlib.compress(keys("somebody").certificate.pem)
    promising.repository.store.write(ObjectName(Digest.of(stored), ObjectKind.CERTIFICATE).path, stored)
    lay(promising, certificate=Digest.of(stored))
    assert [sentence for sentence in told(check_published(promising)) if "is not listed" in sentence]


def test_a_certificate_that_is_gone_is_missed(promising: Publisher) -> None:
    lay(promising, certificate=Digest.of(b"no such certificate"))
    assert Kind.MISSING in {problem.kind for problem in check_published(promising).problems}
