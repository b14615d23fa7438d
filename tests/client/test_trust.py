"""Each rule of `outcrop.client.trust`, by the attack that it stops. Bytes in, decisions out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.client.trust import (
    NO_BLACKLIST,
    Blacklist,
    Seen,
    TrustedManifest,
    join_blacklists,
    parse_blacklist,
    read_manifest,
    verify_certificate,
    verify_manifest,
    verify_whitelist,
)
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, TrustError
from tests.client.published import (
    MTIME,
    NAME,
    NOW,
    Published,
    keys,
    library,
    signed_manifest,
    signed_whitelist,
)
from tests.cvmfs.samples import DIRECTORY, sample

OTHER = RepositoryName("other.example.org")


@pytest.fixture
def published() -> Published:
    return library(revision=7)


def judge(
    published: Published,
    *,
    name: RepositoryName = NAME,
    public: tuple[rsa.RSAPublicKey, ...] | None = None,
    now: datetime = NOW,
    seen: Seen | None = None,
    blacklist: Blacklist = NO_BLACKLIST,
) -> TrustedManifest:
    """The whole chain over what a server has."""
    claimed = read_manifest(published.files[MANIFEST_NAME], name)
    whitelist = verify_whitelist(published.files[WHITELIST_NAME], name, public or (keys().public,), now)
    stored = published.files[ObjectName(claimed.manifest.certificate, ObjectKind.CERTIFICATE).path]
    return verify_manifest(claimed, verify_certificate(stored, claimed, whitelist, blacklist), seen, blacklist)


def seen_of(published: Published, **changes: object) -> Seen:
    return replace(judge(published).seen, **changes)  # type: ignore[arg-type]


def test_honest_repository_is_trusted(published: Published) -> None:
    trusted = judge(published)
    assert trusted.manifest.revision == 7
    assert trusted.seen == Seen(Revision(7), MTIME + 7, trusted.manifest.root_catalog)


@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_repositories_of_the_reference_are_trusted(name: str) -> None:
    from outcrop.cvmfs.signatures import load_public_key

    key = load_public_key((DIRECTORY / "keys" / f"{name}.pub").read_bytes(), name)
    there = Published(files=dict(sample(name).files))
    assert judge(there, name=RepositoryName(name), public=(key,)).manifest.revision == 6


def test_any_of_several_public_keys_will_do(published: Published) -> None:
    assert judge(published, public=(keys("stranger").public, keys().public)).manifest.revision == 7


# W1


def test_whitelist_of_another_key_is_refused(published: Published) -> None:
    with pytest.raises(TrustError, match="not made with the master key of the public key given") as caught:
        judge(published, public=(keys("stranger").public,))
    assert "--key" in caught.value.hint


def test_whitelist_with_a_forged_signature_is_refused(published: Published) -> None:
    data = published.files[WHITELIST_NAME]
    published.files[WHITELIST_NAME] = data[:-1] + bytes((data[-1] ^ 1,))
    with pytest.raises(TrustError, match="not made with the master key"):
        judge(published)


def test_whitelist_signed_by_the_publisher_instead_of_the_owner_is_refused(published: Published) -> None:
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(), keys().signing)
    with pytest.raises(TrustError, match="not made with the master key"):
        judge(published)


def test_whitelist_with_a_digest_padding_is_refused(published: Published) -> None:
    """A master key that also signs in the usual way must not have those signatures taken for whitelists."""
    from outcrop.cvmfs.signatures import sign_manifest_digest
    from outcrop.cvmfs.signed_text import SignedText

    envelope = SignedText.parse(published.files[WHITELIST_NAME], "the whitelist")
    signature = sign_manifest_digest(keys().master, envelope.signed_bytes)
    published.files[WHITELIST_NAME] = replace(envelope, signature=signature).encode()
    with pytest.raises(TrustError, match="not made with the master key"):
        judge(published)


def test_whitelist_whose_text_was_changed_is_refused(published: Published) -> None:
    published.files[WHITELIST_NAME] = published.files[WHITELIST_NAME].replace(b"E2026", b"E2046")
    with pytest.raises(IntegrityError):
        judge(published)


# W2


def test_whitelist_of_another_repository_is_refused(published: Published) -> None:
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(repository=OTHER), keys().master)
    with pytest.raises(TrustError, match=r"whitelist of another repository, other\.example\.org"):
        judge(published)


# W3


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1), timedelta(days=1000)])
def test_expired_whitelist_is_refused(published: Published, late: timedelta) -> None:
    with pytest.raises(TrustError, match=f"expired on {NOW + timedelta(days=30):%Y-%m-%d at %H:%M} UTC") as caught:
        judge(published, now=published.whitelist().expires + late)
    assert "clock" in caught.value.hint


def test_whitelist_is_good_to_its_last_second(published: Published) -> None:
    assert judge(published, now=published.whitelist().expires - timedelta(seconds=1)).manifest.revision == 7


# W4


@pytest.mark.parametrize("demand", ["demands_pkcs7", "demands_certificate_chain"])
def test_proofs_that_are_not_checked_are_never_taken_for_granted(published: Published, demand: str) -> None:
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(**{demand: True}), keys().master)
    with pytest.raises(TrustError, match="which is not supported"):
        judge(published)


# M1


def test_manifest_of_another_repository_is_refused_and_the_option_is_named(published: Published) -> None:
    with pytest.raises(TrustError, match=r"manifest of another repository, books\.example\.org") as caught:
        judge(published, name=OTHER)
    assert "`--fqrn books.example.org`" in caught.value.hint


# C1, C2, C3


def test_swapped_certificate_is_refused(published: Published) -> None:
    certificate = ObjectName(published.manifest().certificate, ObjectKind.CERTIFICATE)
    stranger = Published()
    digest = stranger.add(keys("stranger").certificate.pem, ObjectKind.CERTIFICATE)
    published.files[certificate.path] = stranger.files[ObjectName(digest, ObjectKind.CERTIFICATE).path]
    with pytest.raises(TrustError, match="not the one that the manifest names"):
        judge(published)


def test_certificate_that_is_not_listed_is_refused(published: Published) -> None:
    published.owner = keys("stranger")
    published.files[MANIFEST_NAME] = signed_manifest(published.manifest(), published.owner.signing)
    with pytest.raises(TrustError, match="the whitelist does not list it"):
        judge(published)


def test_whitelist_without_fingerprints_lists_nobody(published: Published) -> None:
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(fingerprints=()), keys().master)
    with pytest.raises(TrustError, match="the whitelist does not list it"):
        judge(published)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_fingerprint_may_be_in_any_algorithm(published: Published, algorithm: Algorithm) -> None:
    fingerprint = keys().certificate.fingerprint(algorithm)
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(fingerprints=(fingerprint,)), keys().master)
    assert judge(published).manifest.revision == 7


def test_blacklisted_certificate_is_refused(published: Published) -> None:
    blacklist = Blacklist(fingerprints=frozenset({keys().certificate.fingerprint(Algorithm.RMD160)}))
    with pytest.raises(TrustError, match="it is on the blacklist"):
        judge(published, blacklist=blacklist)


# M2


def test_manifest_signed_by_somebody_else_is_refused(published: Published) -> None:
    published.files[MANIFEST_NAME] = signed_manifest(published.manifest(), keys("stranger").signing)
    with pytest.raises(TrustError, match="not made with the key of its certificate"):
        judge(published)


def test_manifest_with_a_forged_signature_is_refused(published: Published) -> None:
    data = published.files[MANIFEST_NAME]
    published.files[MANIFEST_NAME] = data[:-1] + bytes((data[-1] ^ 1,))
    with pytest.raises(TrustError, match="not made with the key of its certificate"):
        judge(published)


def test_manifest_whose_text_was_changed_is_refused(published: Published) -> None:
    published.files[MANIFEST_NAME] = published.files[MANIFEST_NAME].replace(b"S7\n", b"S8\n")
    with pytest.raises(IntegrityError):
        judge(published)


# R1 to R4


def test_replayed_old_manifest_is_refused(published: Published) -> None:
    with pytest.raises(TrustError, match="an old one, of revision 7; this machine has seen 8") as caught:
        judge(published, seen=seen_of(published, revision=8))
    assert "another server" in caught.value.hint


def test_manifest_with_an_earlier_time_is_refused_although_its_revision_is_newer(published: Published) -> None:
    with pytest.raises(TrustError, match="published at"):
        judge(published, seen=seen_of(published, revision=6, timestamp=MTIME + 8))


def test_two_contents_under_one_revision_are_refused(published: Published) -> None:
    with pytest.raises(TrustError, match="revision 7 has another content"):
        judge(published, seen=seen_of(published, root_catalog=Digest.of(b"another")))


def test_same_and_newer_manifests_are_accepted(published: Published) -> None:
    assert judge(published, seen=seen_of(published)).manifest.revision == 7
    older = seen_of(published, revision=6, root_catalog=Digest.of(b"older"), timestamp=MTIME)
    assert judge(published, seen=older).seen.revision == 7


def test_newest_time_is_remembered_where_a_manifest_states_none(published: Published) -> None:
    seen = seen_of(published)
    published.files[MANIFEST_NAME] = signed_manifest(published.manifest(published_at=None), keys().signing)
    assert judge(published, seen=seen).seen == seen


def test_revision_below_the_blacklists_limit_is_refused(published: Published) -> None:
    blacklist = Blacklist(minimum_revisions=((OTHER, Revision(99)), (NAME, Revision(8))))
    with pytest.raises(TrustError, match="forbids all below 8"):
        judge(published, blacklist=blacklist)
    assert judge(published, blacklist=Blacklist(minimum_revisions=((NAME, Revision(7)),))).manifest.revision == 7


def test_blacklist_reads_fingerprints_and_limits() -> None:
    fingerprint = Digest.of(b"x")
    pairs = ":".join(fingerprint.hexadecimal[at : at + 2] for at in range(0, 40, 2)).upper()
    text = f"# comment\n\n{pairs} # somebody\n<{NAME} 12\n< {OTHER}  3 \n".encode()
    blacklist = parse_blacklist(text, "the blacklist")
    assert blacklist == Blacklist(frozenset({fingerprint}), ((NAME, Revision(12)), (OTHER, Revision(3))))
    assert join_blacklists([blacklist, NO_BLACKLIST]).minimum_revision(NAME) == 12


@pytest.mark.parametrize("line", [b"<books.example.org", b"<books.example.org x", b"nonsense", b"< 3", b"<a.b 3 4"])
def test_malformed_blacklist_names_the_line(line: bytes) -> None:
    with pytest.raises(FormatError, match="line 2"):
        parse_blacklist(b"# first\n" + line, "the blacklist")
