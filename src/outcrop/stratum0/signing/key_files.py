"""Reading and writing key files: secrets for their owner alone, every file whole or not at all.

A secret that others may read is refused, as SSH does: it must be taken for stolen.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.key_files import described
from outcrop.cvmfs.signatures import load_private_key, load_public_key
from outcrop.errors import FormatError, InvalidValue, NotFound, storage_error
from outcrop.whole_file import sync_directory, write_whole_file

SECRET_MODE, PUBLIC_MODE = 0o600, 0o644
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_EXPONENT = 65537
_MAXIMUM_KEY_FILE_BYTES = 1024 * 1024
"""A thousand times what a key needs: a file that is none (a backup, an image) is not read whole."""


def read_private_key(path: Path, *, validate: bool = True) -> rsa.RSAPrivateKey:
    """The RSA key in `path`; InvalidValue if others may read the file or it holds something else.

    `validate` as in `outcrop.cvmfs.signatures.load_private_key`."""
    data, mode = _read(path)
    try:
        key = load_private_key(data, str(path), validate=validate)
    except FormatError as error:
        raise _not_a_key(path, data, "a private RSA key in PEM without a passphrase") from error
    if mode & _OTHERS:
        raise InvalidValue(
            what=f"the private key {path}",
            problem=f"can be read by others (its mode is {mode:04o})",
            hint=f"`chmod 600 {shlex.quote(str(path))}`; "
            "if somebody may have read it, replace it: `outcrop repo rotate --help`",
        )
    return key


def read_public_key(path: Path) -> rsa.RSAPublicKey:
    """The RSA public key in `path`; InvalidValue if it holds something else."""
    data, _ = _read(path)
    try:
        return load_public_key(data, str(path))
    except FormatError as error:
        raise _not_a_key(path, data, "a public RSA key in PEM") from error


def read_certificate(path: Path) -> Certificate:
    """The certificate in `path`; InvalidValue if it holds something else."""
    data, _ = _read(path)
    try:
        return Certificate.parse(data, str(path))
    except FormatError as error:
        raise _not_a_key(path, data, "a certificate with an RSA key in PEM") from error


def new_private_key(bits: int) -> rsa.RSAPrivateKey:
    """A key that nobody else has."""
    return rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits)


def write_private_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Writes `key` for its owner alone."""
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    write_key_file(path, data, SECRET_MODE)


def write_public_key(path: Path, key: rsa.RSAPublicKey) -> None:
    """Writes `key` for everybody."""
    data = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_key_file(path, data, PUBLIC_MODE)


def write_key_file(path: Path, data: bytes, mode: int) -> None:
    """Writes `data` durably, whole or not at all, with the permissions `mode`."""
    write_whole_file(path, data, mode=mode, durable=True)


def move_key_file(source: Path, target: Path) -> None:
    """Puts the file `source` in the place of `target`, durably and at once; nothing if `source` is not there."""
    try:
        source.rename(target)
        sync_directory(target.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error) from error


def remove_key_file(path: Path) -> None:
    """Takes a file away; one that is not there is no error."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error) from error


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes of `path` and its permissions."""
    try:
        with path.open("rb") as file:
            return file.read(_MAXIMUM_KEY_FILE_BYTES), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError as error:
        raise NotFound(
            what=f"the key file {path}", hint="bring it back from your backup, or work where the key is"
        ) from error
    except OSError as error:
        raise storage_error(error, str(path)) from error


def _not_a_key(path: Path, data: bytes, expected: str) -> InvalidValue:
    return InvalidValue(
        what=f"the file {path}",
        problem=f"holds {described(data)}; expected is {expected}",
        hint="FQRN.masterkey and FQRN.key are private keys, FQRN.pub is the public key, FQRN.crt the certificate",
    )
