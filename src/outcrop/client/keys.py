"""Public keys from the files that users name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.key_files import described
from outcrop.cvmfs.signatures import load_public_key
from outcrop.errors import FormatError, InvalidValue, NotFound, storage_error

PUBLIC_KEY_SUFFIX = ".pub"


def load_keys(paths: Iterable[Path]) -> tuple[rsa.RSAPublicKey, ...]:
    """The keys in `paths`, each a file or a directory with `*.pub` files.

    NotFound or StorageError for a path that cannot be read, InvalidValue for a file that holds something else than an
    RSA public key, and where a directory holds no key.
    """
    return tuple(_load(file) for path in paths for file in _files(path))


def _load(file: Path) -> rsa.RSAPublicKey:
    data = _read(file)
    try:
        return load_public_key(data, str(file))
    except FormatError as error:
        raise InvalidValue(
            what=str(file),
            problem=f"holds {described(data)}; expected is a public RSA key in PEM",
            hint="the owner of the repository gives it out, as a file that ends in `.pub`",
        ) from error


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.suffix == PUBLIC_KEY_SUFFIX)
    except OSError as error:
        raise storage_error(error) from error
    if not found:
        raise InvalidValue(
            what=f"the directory {path}", problem="holds no public keys", hint="their names have to end in `.pub`"
        )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            what=f"the public key {path}", hint="`--key` or the configuration names it: a file, or a directory of them"
        ) from error
    except OSError as error:
        raise storage_error(error) from error
