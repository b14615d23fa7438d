"""Each rule of `outcrop.client.freshness_rules`. Bytes in, decisions out; the attacks are in `tests/client/attacks`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from outcrop.client.freshness_rules import (
    CACHED_SECONDS,
    CLOCK_TOLERANCE_SECONDS,
    Standing,
    demanded_announcement,
    holds_until,
    judge_manifest,
    own_certificate,
    read_freshness,
    verify_freshness,
    verify_freshness_certificate,
)
from outcrop.client.trust import (
    Blacklist,
    Seen,
    SeenFreshness,
    TrustedManifest,
    read_manifest,
    verify_certificate,
    verify_manifest,
    verify_whitelist,
)
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME, FreshnessRecord
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, TrustError
from tests.client.attacks.promised import HOUR, WEEK, promising, record_of, signed_record
from tests.client.published import NAME, NOW, Published, keys

PROMISE = FreshnessAnnouncement(int(WEEK.total_seconds()))
TOLERANCE = timedelta(seconds=CLOCK_TOLERANCE_SECONDS)
SECOND = timedelta(seconds=1)


def trusted_of(published: Published) -> TrustedManifest:
    """What the other rules make of `published`."""
    claimed = read_manifest(published.files[MANIFEST_NAME], NAME)
    whitelist = verify_whitelist(published.files[WHITELIST_NAME], NAME, (keys().public,), NOW)
    name = ObjectName(claimed.manifest.certificate, ObjectKind.CERTIFICATE)
    return verify_manifest(claimed, verify_certificate(published.files[name.path], claimed, whitelist))


def believed(
    published: Published, now: datetime = NOW, seen: Seen | None = None, announcement: FreshnessAnnouncement = PROMISE
) -> FreshnessRecord:
    """The record of `published` after every rule."""
    trusted = trusted_of(published)
    claimed = read_freshness(published.files[FRESHNESS_NAME], NAME)
    certificate = own_certificate(claimed.record, trusted)
    assert certificate is not None
    return verify_freshness(claimed, certificate, announcement, now, seen)


def seen_of(published: Published, issued: datetime = NOW - HOUR) -> Seen:
    """The memory of whoever has read `published`."""
    trusted = trusted_of(published)
    return replace(trusted.seen, freshness=SeenFreshness(trusted.manifest.metainfo, PROMISE, int(issued.timestamp())))


def test_a_record_that_keeps_every_rule_is_believed() -> None:
    published = promising(3)
    record = believed(published)
    assert record == record_of(published)
    assert judge_manifest(trusted_of(published).manifest, record) is Standing.CURRENT


# F1


def test_f1_what_is_announced_is_demanded() -> None:
    manifest = trusted_of(promising()).manifest
    assert demanded_announcement(manifest, PROMISE, None) == PROMISE
    assert demanded_announcement(manifest, None, None) is None


def test_f1_only_a_later_manifest_takes_the_promise_back() -> None:
    seen = seen_of(promising(3))
    manifest = trusted_of(promising(3)).manifest
    assert demanded_announcement(manifest, None, seen) == PROMISE
    stamp = manifest.published_at
    assert stamp is not None
    assert demanded_announcement(replace(manifest, published_at=stamp + 1), None, seen) is None
    assert demanded_announcement(replace(manifest, published_at=None), None, seen) == PROMISE
    assert demanded_announcement(replace(manifest, revision=Revision(4)), None, seen) is None
    assert demanded_announcement(replace(manifest, revision=Revision(2)), None, seen) == PROMISE


def test_f1_without_a_promise_nothing_is_demanded() -> None:
    seen = replace(seen_of(promising(3)), freshness=SeenFreshness(Digest.of(b""), None))
    assert demanded_announcement(trusted_of(promising(3)).manifest, None, seen) is None


# F2 to F4


def test_f2_a_record_is_for_exactly_this_repository() -> None:
    published = promising(repository=RepositoryName("games.example.org"))
    with pytest.raises(TrustError, match="another repository"):
        read_freshness(published.files[FRESHNESS_NAME], NAME)


def test_f3_the_certificate_of_a_record_may_be_another_that_the_whitelist_lists() -> None:
    published = promising()
    other = keys("next").certificate
    digest = published.add(other.pem, ObjectKind.CERTIFICATE)
    stored = published.files[ObjectName(digest, ObjectKind.CERTIFICATE).path]
    claimed = read_freshness(
        signed_record(replace(record_of(published), certificate=digest), keys("next").signing), NAME
    )
    trusted = trusted_of(published)
    assert own_certificate(claimed.record, trusted) is None
    with pytest.raises(TrustError, match="does not list"):
        verify_freshness_certificate(stored, claimed, trusted)
    fingerprints = (*trusted.whitelist.fingerprints, other.fingerprint(Algorithm.SHA1))
    trusted = replace(trusted, whitelist=replace(trusted.whitelist, fingerprints=fingerprints))
    certificate = verify_freshness_certificate(stored, claimed, trusted)
    assert verify_freshness(claimed, certificate, PROMISE, NOW) == claimed.record
    with pytest.raises(TrustError, match="not the one that the record names"):
        verify_freshness_certificate(stored + b"x", claimed, trusted)
    with pytest.raises(TrustError, match="blacklist"):
        verify_freshness_certificate(
            stored, claimed, trusted, Blacklist(frozenset({other.fingerprint(Algorithm.SHA1)}))
        )


def test_f4_the_key_of_the_certificate_has_signed() -> None:
    published = promising()
    published.files[FRESHNESS_NAME] = signed_record(record_of(published), keys("stranger").signing)
    with pytest.raises(TrustError, match="signature"):
        believed(published)


def test_f4_an_altered_text_is_refused() -> None:
    published = promising()
    published.files[FRESHNESS_NAME] = published.files[FRESHNESS_NAME].replace(b"\nS1\n", b"\nS2\n")
    with pytest.raises(IntegrityError):
        believed(published)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\n--\n"])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_freshness(data, NAME)


# F5


def test_f5_a_record_holds_to_the_second_with_the_tolerance_for_clocks() -> None:
    published = promising(issued=NOW)
    end = NOW + WEEK + TOLERANCE
    believed(published, now=end - SECOND)
    with pytest.raises(TrustError, match=f"expired on {NOW + WEEK:%Y-%m-%d at %H:%M} UTC") as caught:
        believed(published, now=end)
    assert f"outcrop repo refresh {NAME}" in caught.value.hint
    assert "clock" in caught.value.hint


def test_f5_a_record_holds_no_longer_than_is_announced() -> None:
    published = promising(issued=NOW, age=2 * WEEK)
    assert holds_until(record_of(published, NOW, 2 * WEEK), PROMISE) == int((NOW + WEEK).timestamp())
    with pytest.raises(TrustError, match="expired"):
        believed(published, now=NOW + WEEK + TOLERANCE)


def test_f5_a_record_is_not_from_the_future() -> None:
    believed(promising(issued=NOW + TOLERANCE))
    with pytest.raises(TrustError, match="issued in the future"):
        believed(promising(issued=NOW + TOLERANCE + SECOND))


# F6


def test_f6_a_record_is_older_than_one_that_was_seen_only_as_far_as_caches_explain() -> None:
    published = promising(issued=NOW - HOUR)
    latest = NOW - HOUR + timedelta(seconds=CACHED_SECONDS)
    believed(published, seen=seen_of(published, latest))
    with pytest.raises(TrustError, match="has seen"):
        believed(published, seen=seen_of(published, latest + SECOND))


# F7 and F8


@pytest.mark.parametrize(
    ("revision", "standing"), [(4, None), (5, Standing.BEHIND), (6, Standing.BEHIND), (7, Standing.CURRENT)]
)
def test_f7_servers_may_be_behind_as_far_as_the_record_says(revision: int, standing: Standing | None) -> None:
    record = replace(record_of(promising(7)), oldest=Revision(5))
    manifest = trusted_of(promising(revision)).manifest
    if standing is not None:
        assert judge_manifest(manifest, record) is standing
        return
    with pytest.raises(TrustError, match="it is an old one, of revision 4"):
        judge_manifest(manifest, record)


def test_f7_a_manifest_may_be_newer_than_the_record() -> None:
    assert judge_manifest(trusted_of(promising(8)).manifest, record_of(promising(7))) is Standing.CURRENT


def test_f8_one_revision_has_one_content() -> None:
    record = replace(record_of(promising(7)), root_catalog=Digest.of(b"other"))
    with pytest.raises(TrustError, match="another content"):
        judge_manifest(trusted_of(promising(7)).manifest, record)
