from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from outcrop.compat.debian.signature import GPGV, archive_keyring, signed_text
from outcrop.errors import MissingCapability, NotFound, TrustError
from tests.compat.debian.archive_made_here import Gnupg, MadeKey, MadeSuite, signed

TEXT = MadeSuite("bookworm").release({"main/binary-amd64/Packages.xz": b"x"})

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which(GPGV) is None, reason="gpgv, which checks signatures, is not installed"),
]


def test_a_text_signed_by_a_key_of_the_archive_is_given(archive_key: MadeKey) -> None:
    assert signed_text(signed(TEXT, archive_key), archive_key.keyring, "InRelease") == TEXT


def test_lines_that_begin_with_a_dash_come_as_they_were_signed(archive_key: MadeKey) -> None:
    text = "Suite: x\n- one\n-----BEGIN PGP SIGNATURE-----\n"
    assert signed_text(signed(text, archive_key), archive_key.keyring, "InRelease") == text


def test_an_unsigned_text_is_refused(archive_key: MadeKey) -> None:
    with pytest.raises(TrustError, match="no signature"):
        signed_text(TEXT.encode(), archive_key.keyring, "InRelease")


@pytest.mark.parametrize("document", [b"", b"\0" * 1000, b"<html></html>", b"-----BEGIN PGP SIGNED MESSAGE-----\n"])
def test_rubbish_is_refused(archive_key: MadeKey, document: bytes) -> None:
    with pytest.raises(TrustError):
        signed_text(document, archive_key.keyring, "InRelease")


def test_a_text_signed_by_another_key_is_refused_and_the_key_named(archive_key: MadeKey, foreign_key: MadeKey) -> None:
    with pytest.raises(TrustError, match=foreign_key.fingerprint[-16:]):
        signed_text(signed(TEXT, foreign_key), archive_key.keyring, "InRelease")


def test_a_text_that_was_changed_after_it_was_signed_is_refused(archive_key: MadeKey) -> None:
    document = signed(TEXT, archive_key).replace(b"Suite: stable", b"Suite: secure")
    with pytest.raises(TrustError, match="changed after it was signed"):
        signed_text(document, archive_key.keyring, "InRelease")


def test_a_cut_text_is_refused(archive_key: MadeKey) -> None:
    document = signed(TEXT, archive_key)
    for length in (len(document) // 3, document.index(b"-----BEGIN PGP SIGNATURE"), len(document) - 60):
        with pytest.raises(TrustError):
            signed_text(document[:length], archive_key.keyring, "InRelease")


def test_the_signature_of_another_text_is_refused(archive_key: MadeKey) -> None:
    other = signed("Suite: other\n", archive_key)
    start = b"-----BEGIN PGP SIGNATURE"
    text, _, _ = signed(TEXT, archive_key).partition(start)
    with pytest.raises(TrustError):
        signed_text(text + start + other.partition(start)[2], archive_key.keyring, "InRelease")


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_what_stands_around_the_signed_text_is_no_part_of_it(archive_key: MadeKey, before: bool) -> None:
    document, planted = signed(TEXT, archive_key), b"Suite: planted\nSHA256:\n planted\n\n"
    whole = planted + document if before else document + planted
    with suppress(TrustError):  # refusing it is as good
        assert signed_text(whole, archive_key.keyring, "InRelease") == TEXT


def test_two_signed_texts_in_one_are_refused_or_read_as_the_first(archive_key: MadeKey, foreign_key: MadeKey) -> None:
    for other in (archive_key, foreign_key):
        whole = signed(TEXT, archive_key) + signed("Suite: planted\n", other)
        with suppress(TrustError):
            assert signed_text(whole, archive_key.keyring, "InRelease") == TEXT


def test_one_known_key_of_several_that_signed_is_enough(archive_key: MadeKey, foreign_key: MadeKey) -> None:
    # Debian signs with the keys of two releases; an older machine's keyring has only one of them.
    document = signed(TEXT, archive_key, foreign_key)
    for key in (archive_key, foreign_key):
        assert signed_text(document, key.keyring, "InRelease") == TEXT


def test_a_wrong_signature_beside_a_good_one_is_refused(archive_key: MadeKey, gnupg: Gnupg, tmp_path: Path) -> None:
    second = gnupg.make_key("Second <second@example.org>")
    both = tmp_path / "both.gpg"
    gnupg.export(both, [archive_key, second])
    assert signed_text(signed(TEXT, archive_key, second), both, "InRelease") == TEXT
    changed = signed(TEXT, archive_key, second).replace(b"Suite: stable", b"Suite: secure")
    with pytest.raises(TrustError):
        signed_text(changed, both, "InRelease")


def test_a_key_that_has_expired_is_refused(gnupg: Gnupg) -> None:
    old = gnupg.make_key("Old <old@example.org>", expires="1d", made="20200101T000000")
    with pytest.raises(TrustError, match="expired"):
        signed_text(signed(TEXT, old), old.keyring, "InRelease")


def test_a_key_that_was_revoked_is_refused(gnupg: Gnupg) -> None:
    lost = gnupg.make_key("Lost <lost@example.org>")
    document = signed(TEXT, lost)
    assert signed_text(document, lost.keyring, "InRelease") == TEXT
    gnupg.revoke(lost)
    with pytest.raises(TrustError):
        signed_text(document, lost.keyring, "InRelease")


def test_a_signature_that_has_expired_is_refused(archive_key: MadeKey) -> None:
    document = signed(TEXT, archive_key, options=["--default-sig-expire", "seconds=1"])
    time.sleep(2)
    with pytest.raises(TrustError):
        signed_text(document, archive_key.keyring, "InRelease")


def test_a_signature_over_a_broken_digest_is_refused(gnupg: Gnupg) -> None:
    # apt refuses SHA-1 since 1.4: two texts with one SHA-1 can be made.
    key = gnupg.make_key("Weak <weak@example.org>", algorithm="rsa2048")
    with pytest.raises(TrustError):
        signed_text(signed(TEXT, key, options=["--digest-algo", "SHA1"]), key.keyring, "InRelease")


def test_a_keyring_that_is_none_trusts_nobody(archive_key: MadeKey, tmp_path: Path) -> None:
    document = signed(TEXT, archive_key)
    rubbish = tmp_path / "rubbish.gpg"
    rubbish.write_bytes(b"rubbish")
    for keyring in (rubbish, tmp_path / "none.gpg"):
        with pytest.raises(TrustError):
            signed_text(document, keyring, "InRelease")


def test_keys_of_whoever_runs_it_do_not_count(gnupg: Gnupg, tmp_path: Path, home: Path) -> None:
    # gpgv's own default keyring in the user's home.
    own = gnupg.make_key("Own <own@example.org>")
    for directory in (home / ".gnupg", home):
        directory.mkdir(exist_ok=True)
        shutil.copy(own.keyring, directory / "trustedkeys.gpg")
    empty = tmp_path / "empty.gpg"
    empty.touch()
    with pytest.raises(TrustError):
        signed_text(signed(TEXT, own), empty, "InRelease")


def test_a_relative_path_of_a_keyring_is_one_from_here(
    archive_key: MadeKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(archive_key.keyring, tmp_path / "a keyring.gpg")
    monkeypatch.chdir(tmp_path)
    assert signed_text(signed(TEXT, archive_key), Path("a keyring.gpg"), "InRelease") == TEXT


def test_a_machine_without_gpgv_says_which_package_is_missing() -> None:
    with pytest.raises(MissingCapability, match="gpgv") as raised:
        signed_text(b"", Path("keyring"), "InRelease", find_program=lambda _name: None)
    assert "gnupg2" in raised.value.hint


def test_the_keyring_that_is_named_goes_before_the_machine_s(tmp_path: Path) -> None:
    given, installed, other = (tmp_path / name for name in ("given", "installed", "other"))
    for path in (given, installed, other):
        path.touch()
    assert archive_keyring(given, [installed]) == given
    assert archive_keyring(None, [tmp_path / "none", installed, other]) == installed


def test_a_keyring_that_is_not_there_is_told(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.touch()
    with pytest.raises(NotFound, match="given"):
        archive_keyring(tmp_path / "given", [here])
    with pytest.raises(NotFound, match="keyring") as raised:
        archive_keyring(None, [tmp_path / "none", tmp_path])
    assert "debian-archive-keyring" in raised.value.hint
