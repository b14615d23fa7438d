"""Keys in files: made once, for their owner alone, and told apart from what is no key."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from outcrop.cvmfs.key_files import described
from outcrop.errors import InvalidValue, NotFound, TrustError
from outcrop.stratum0.signing.key_files import read_certificate, read_private_key, read_public_key, write_key_file
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys, create_next_signing_key, load_signing_key
from tests.stratum0.conftest import BEGINNING, NAME, Publisher


def test_secrets_are_made_for_their_owner_alone(publisher: Publisher) -> None:
    files = publisher.repository.keys
    create_next_signing_key(files, BEGINNING)
    for path in (files.master_key, files.signing_key, files.next_signing_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_refused(publisher: Publisher, mode: int) -> None:
    for path in (publisher.repository.keys.master_key, publisher.repository.keys.signing_key):
        path.chmod(mode)
        with pytest.raises(InvalidValue, match=f"can be read by others .its mode is {mode:04o}") as caught:
            read_private_key(path)
        assert f"chmod 600 {shlex.quote(str(path))}" in caught.value.hint


def test_a_file_that_is_no_key_is_named_for_what_it_is(publisher: Publisher, tmp_path: Path) -> None:
    files = publisher.repository.keys
    with pytest.raises(InvalidValue, match=r"pub holds a public key; expected is a private RSA key"):
        read_private_key(files.public_key)
    with pytest.raises(InvalidValue, match=r"crt holds a certificate; expected is a public RSA key"):
        read_public_key(files.certificate)
    with pytest.raises(InvalidValue, match=r"key holds a private key; expected is a certificate"):
        read_certificate(files.signing_key)
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidValue, match="empty holds nothing; expected is a public RSA key"):
        read_public_key(tmp_path / "empty")
    with pytest.raises(NotFound, match="missing does not exist"):
        read_public_key(tmp_path / "missing")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\n", "nothing"),
        (b"-----BEGIN CERTIFICATE-----\n", "a certificate"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "a private key that is locked with a passphrase"),
        (b"-----BEGIN MUSIC-----\n", "something that calls itself MUSIC"),
        (b"ssh-rsa AAAA me@here\n", "a public key of OpenSSH"),
        (b"SQLite format 3\x00\x01", "a database"),
        (b"0\x82\x01\x22", "binary DER data"),
        (b"Dear reader,\n\tno key here\n", "text that is no key"),
        (b"\x00\x01\x02", "binary data"),
    ],
)
def test_what_a_file_is_instead_of_a_key(data: bytes, name: str) -> None:
    assert described(data) == name


def test_a_public_key_whose_private_half_is_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path, NAME)
    create_missing_keys(files, BEGINNING)
    public = files.public_key.read_bytes()
    files.master_key.unlink()
    with pytest.raises(InvalidValue, match="is there without its private half"):
        create_missing_keys(files, BEGINNING)
    assert files.public_key.read_bytes() == public


def test_keys_that_are_there_are_kept(publisher: Publisher) -> None:
    files = publisher.repository.keys
    before = [path.read_bytes() for path in files.all()]
    assert create_missing_keys(files, BEGINNING) == []
    assert [path.read_bytes() for path in files.all()] == before


def test_a_certificate_of_another_key_is_refused(publisher: Publisher) -> None:
    files = publisher.repository.keys
    create_next_signing_key(files, BEGINNING)
    files.next_signing_key.unlink()
    files.next_certificate.rename(files.certificate)
    with pytest.raises(TrustError, match=r"does not belong to test\.example\.org\.key"):
        load_signing_key(files)


def test_what_a_killed_writer_left_does_not_open_a_secret_to_others(tmp_path: Path) -> None:
    leftover = tmp_path / ".secret.0123456789abcdef"
    leftover.write_text("left")
    leftover.chmod(0o666)
    write_key_file(tmp_path / "secret", b"s", 0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
