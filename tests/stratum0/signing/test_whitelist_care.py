"""Whitelists: renewed without losing anybody, signed elsewhere, and held against the clock before a publish."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.client.trust import verify_whitelist
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.objects import WHITELIST_NAME
from outcrop.cvmfs.signatures import load_public_key
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, InvalidValue, NotFound, TrustError
from outcrop.stratum0.signing.key_files import new_private_key, read_private_key
from outcrop.stratum0.signing.master_key import FileMasterKey, sign_whitelist
from outcrop.stratum0.signing.offline_signing import (
    check_signature,
    export_request,
    import_signature,
    make_request,
    pending_request,
    require_worth_signing,
    sign_request,
)
from outcrop.stratum0.signing.rotation import begin
from outcrop.stratum0.signing.signing_request import SigningRequest
from outcrop.stratum0.signing.whitelist_care import (
    own_fingerprint,
    published_whitelist,
    renew_whitelist,
    require_valid_whitelist,
)
from outcrop.stratum0.signing.whitelist_rules import remaining
from tests.stratum0.conftest import BEGINNING, NAME, Publisher

DAY = timedelta(days=1)
STRANGER = Digest.of(b"another publisher's certificate")


@functools.cache
def stranger_key() -> FileMasterKey:
    return FileMasterKey("a stranger's key", new_private_key(2048))


def master(publisher: Publisher) -> FileMasterKey:
    path = publisher.repository.keys.master_key
    return FileMasterKey(str(path), read_private_key(path))


def publish_as_is(publisher: Publisher, **changes: object) -> Whitelist:
    """Puts a whitelist there that says anything, signed with the master key."""
    whitelist = replace(published_whitelist(publisher.repository).whitelist, **changes)  # type: ignore[arg-type]
    signed = sign_whitelist(whitelist, publisher.repository.settings.algorithm, master(publisher))
    publisher.repository.store.replace(WHITELIST_NAME, signed)
    return whitelist


# The gate


def test_a_fresh_whitelist_lets_a_publish_go_ahead_in_silence(publisher: Publisher) -> None:
    assert require_valid_whitelist(publisher.repository, BEGINNING + 16 * DAY, allow_expiring=False) == ()


def test_it_warns_from_fourteen_days(publisher: Publisher) -> None:
    (warning,) = require_valid_whitelist(publisher.repository, BEGINNING + 17 * DAY, allow_expiring=False)
    assert warning == (
        "the whitelist of test.example.org expires in 13 days, on 2026-12-21 at 12:00 UTC: "
        "`outcrop repo resign test.example.org` signs it anew"
    )


@pytest.mark.parametrize(("age", "told"), [(29 * DAY, "expires in 24 hours"), (31 * DAY, "expired on 2026-12-21")])
def test_a_publish_under_a_whitelist_at_its_end_is_refused_unless_told(
    publisher: Publisher, age: timedelta, told: str
) -> None:
    with pytest.raises(TrustError, match=told) as caught:
        require_valid_whitelist(publisher.repository, BEGINNING + age, allow_expiring=False)
    assert f"outcrop repo resign {NAME}" in caught.value.hint
    (warning,) = require_valid_whitelist(publisher.repository, BEGINNING + age, allow_expiring=True)
    assert told in warning


def test_a_whitelist_without_our_certificate_is_refused_whatever_is_allowed(publisher: Publisher) -> None:
    publish_as_is(publisher, fingerprints=(STRANGER,))
    with pytest.raises(TrustError, match="does not list our certificate"):
        require_valid_whitelist(publisher.repository, BEGINNING, allow_expiring=True)


def test_a_whitelist_of_another_repository_is_refused(publisher: Publisher) -> None:
    publish_as_is(publisher, repository=repository_name("other.example.org"))
    with pytest.raises(TrustError, match=r"not signed for test\.example\.org"):
        require_valid_whitelist(publisher.repository, BEGINNING, allow_expiring=True)


def test_a_whitelist_by_another_master_key_is_refused_and_none_is_said(publisher: Publisher) -> None:
    repository = publisher.repository
    whitelist = published_whitelist(repository).whitelist
    repository.store.replace(WHITELIST_NAME, sign_whitelist(whitelist, Algorithm.SHA1, stranger_key()))
    with pytest.raises(TrustError, match="not signed for"):
        require_valid_whitelist(repository, BEGINNING, allow_expiring=True)
    repository.store.remove(WHITELIST_NAME)
    with pytest.raises(TrustError, match="it is not there"):
        require_valid_whitelist(repository, BEGINNING, allow_expiring=True)


def test_the_hint_for_an_offline_key_is_the_request(publisher: Publisher) -> None:
    publisher.repository.keys.master_key.unlink()
    with pytest.raises(TrustError) as caught:
        require_valid_whitelist(publisher.repository, BEGINNING + 29 * DAY, allow_expiring=False)
    assert "--export-request" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "words"), [(3600, "expires in 1 hour"), (86400, "expires in 24 hours"), (-1, "expired"), (0, "expired")]
)
def test_time_left_in_words(seconds: int, words: str) -> None:
    assert remaining(BEGINNING + timedelta(seconds=seconds), BEGINNING).startswith(words)


# Renewal


def test_renewing_keeps_other_publishers_and_drops_who_is_named(publisher: Publisher) -> None:
    publish_as_is(publisher, fingerprints=(STRANGER, own_fingerprint(publisher.repository)))
    kept = renew_whitelist(publisher.repository, BEGINNING + DAY)
    assert set(kept.fingerprints) == {STRANGER, own_fingerprint(publisher.repository)}
    dropped = renew_whitelist(publisher.repository, BEGINNING + 2 * DAY, drop=[STRANGER])
    assert dropped.fingerprints == (own_fingerprint(publisher.repository),)
    for one, problem in ((STRANGER, "is not on the published"), (own_fingerprint(publisher.repository), "our own")):
        with pytest.raises(InvalidValue, match=problem):
            renew_whitelist(publisher.repository, BEGINNING + 3 * DAY, drop=[one])


@pytest.mark.parametrize("damage", [b"", b"no whitelist\n--\n", None])
def test_a_damaged_whitelist_is_mended_by_renewing_it(publisher: Publisher, damage: bytes | None) -> None:
    store = publisher.repository.store
    store.remove(WHITELIST_NAME)
    if damage is not None:
        store.replace(WHITELIST_NAME, damage)
    renew_whitelist(publisher.repository, BEGINNING + DAY)
    assert require_valid_whitelist(publisher.repository, BEGINNING + DAY, allow_expiring=False) == ()


def test_a_master_key_that_clients_do_not_know_is_refused(publisher: Publisher) -> None:
    before = publisher.repository.store.read(WHITELIST_NAME)
    with pytest.raises(TrustError, match="clients would refuse what it signs"):
        renew_whitelist(publisher.repository, BEGINNING, master_key=stranger_key())
    assert publisher.repository.store.read(WHITELIST_NAME) == before


def test_an_offline_master_key_is_told_with_the_way_out(publisher: Publisher) -> None:
    publisher.repository.keys.master_key.unlink()
    with pytest.raises(NotFound) as caught:
        renew_whitelist(publisher.repository, BEGINNING)
    assert "--export-request" in caught.value.hint


# A master key elsewhere


@pytest.mark.parametrize("algorithm", [one.label for one in Algorithm])
def test_a_request_travels_to_the_key_and_its_signature_back(
    new_publisher: Callable[..., Publisher], tmp_path: Path, algorithm: str
) -> None:
    publisher = new_publisher(hash=algorithm)
    repository, now = publisher.repository, BEGINNING + 5 * DAY
    request = make_request(repository, now, 60)
    export_request(repository, request, tmp_path / "request")
    there = SigningRequest.parse((tmp_path / "request").read_bytes(), "the request")
    signature = sign_request(there, master(publisher))
    repository.keys.master_key.unlink()
    whitelist = import_signature(repository, pending_request(repository.keys), signature, now + DAY)
    assert whitelist == request.whitelist
    trusted = verify_whitelist(
        repository.store.read(WHITELIST_NAME), NAME, [load_public_key(publisher.public_key, "key")], now + 59 * DAY
    )
    assert trusted.whitelist.expires == now + 60 * DAY
    with pytest.raises(NotFound, match="waits for its signature"):
        pending_request(repository.keys)


@pytest.mark.integration
@pytest.mark.parametrize("algorithm", [Algorithm.SHA1, Algorithm.SHAKE128])
def test_the_commands_in_a_request_sign_with_openssl_alone(
    new_publisher: Callable[..., Publisher], tmp_path: Path, algorithm: Algorithm
) -> None:
    repository = new_publisher(hash=algorithm.label).repository
    request = make_request(repository, BEGINNING + DAY, 30)
    (tmp_path / "request").write_bytes(request.encode())
    (tmp_path / repository.keys.master_key.name).write_bytes(repository.keys.master_key.read_bytes())
    commands = [
        line.removeprefix("#   ").replace("THIS_FILE", "request")
        for line in request.encode().decode().splitlines()
        if line.startswith(("#   sed", "#   printf"))
    ]
    assert len(commands) == 2
    digest = subprocess.run(["bash", "-ec", commands[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert digest.stdout.split()[-1] == request.digest.hexadecimal
    subprocess.run(["bash", "-ec", commands[1]], cwd=tmp_path, check=True, timeout=60)
    signature = (tmp_path / f"{NAME}.signature").read_bytes()
    check_signature(repository, request, signature, BEGINNING + DAY)


def test_a_signature_by_any_other_key_is_refused(publisher: Publisher) -> None:
    repository = publisher.repository
    request = make_request(repository, BEGINNING + DAY, 30)
    before = repository.store.read(WHITELIST_NAME)
    signing = FileMasterKey("signing key", read_private_key(repository.keys.signing_key))
    for signature in (sign_request(request, signing), b"", b"nonsense", b"\xff" * 384):
        with pytest.raises(TrustError, match="does not confirm it"):
            import_signature(repository, request, signature, BEGINNING + DAY)
    assert repository.store.read(WHITELIST_NAME) == before


def test_a_request_that_was_changed_after_signing_is_refused(publisher: Publisher) -> None:
    repository = publisher.repository
    request = make_request(repository, BEGINNING + DAY, 30)
    signature = sign_request(request, master(publisher))
    longer = SigningRequest(replace(request.whitelist, expires=BEGINNING + 3000 * DAY), request.algorithm)
    with pytest.raises(TrustError, match="does not confirm it"):
        import_signature(repository, longer, signature, BEGINNING + DAY)


def test_requests_that_no_longer_fit_are_refused_though_signed(publisher: Publisher) -> None:
    repository = publisher.repository
    key = master(publisher)

    def signed(request: SigningRequest) -> tuple[SigningRequest, bytes]:
        return request, sign_request(request, key)

    early = signed(make_request(repository, BEGINNING + DAY, 30))
    foreign = replace(early[0].whitelist, repository=repository_name("other.example.org"))
    with pytest.raises(InvalidValue, match=r"is for other\.example\.org, not for"):
        import_signature(repository, *signed(SigningRequest(foreign, Algorithm.SHA1)), BEGINNING + DAY)
    with pytest.raises(TrustError, match="expired on"):
        import_signature(repository, *early, BEGINNING + 31 * DAY)
    with pytest.raises(TrustError, match="of rmd160, the repository's of sha1"):
        import_signature(repository, *signed(replace(early[0], algorithm=Algorithm.RMD160)), BEGINNING + DAY)
    begin(repository, BEGINNING + DAY, timedelta(0))
    with pytest.raises(TrustError, match="which readers need now"):
        import_signature(repository, *early, BEGINNING + DAY)
    renew_whitelist(repository, BEGINNING + 2 * DAY)
    with pytest.raises(TrustError, match="before the whitelist that is published"):
        import_signature(repository, *early, BEGINNING + 2 * DAY)


def test_the_same_signature_may_be_imported_again(publisher: Publisher) -> None:
    repository = publisher.repository
    request = make_request(repository, BEGINNING + DAY, 30)
    signature = sign_request(request, master(publisher))
    for _ in range(2):
        import_signature(repository, request, signature, BEGINNING + DAY)


@pytest.mark.parametrize(
    ("old", "new", "error", "problem"),
    [
        (b"\nexpires: 2026", b"\nexpires: 2036", TrustError, "its expires is given as"),
        (b"\nrepository: test", b"\nrepository: best", TrustError, "its repository is given as"),
        (b"\nE2026", b"\nE2036", TrustError, "its digest is given as"),
        (b"request: 1", b"request: 2", FormatError, "its version"),
        (b"--- end\n", b"--- end\nmore\n", FormatError, "is not between"),
        (b"\nrepository: ", b"\nRepository: ", FormatError, "does not belong there"),
        (b"\ndigest: ", b"\n# digest: ", FormatError, "digest is missing"),
        (b"\nNtest", b"\nVpkcs7\nNtest", FormatError, "line 3"),
        (b"# A whitelist", "# Ein Wöhitelist".encode(), FormatError, "is not ASCII"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(
    publisher: Publisher, old: bytes, new: bytes, error: type[Exception], problem: str
) -> None:
    data = make_request(publisher.repository, BEGINNING + DAY, 30).encode()
    assert SigningRequest.parse(data, "the request").encode() == data
    assert data.count(old) == 1
    with pytest.raises(error, match=problem):
        SigningRequest.parse(data.replace(old, new), "the request")


def test_signing_elsewhere_needs_no_repository_but_its_name(publisher: Publisher) -> None:
    request = make_request(publisher.repository, BEGINNING + DAY, 30)
    require_worth_signing(request, NAME, BEGINNING + DAY)
    with pytest.raises(InvalidValue, match="not for"):
        require_worth_signing(request, repository_name("other.example.org"), BEGINNING + DAY)
