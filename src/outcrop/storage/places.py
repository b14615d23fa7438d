"""Stores by their address: a directory's path, or `s3://bucket/prefix`.

The objects of a repository lie in a directory, or below a prefix, called like the repository, since the URLs under
which they are served end so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import InvalidValue, NotFound
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.interface import WritableStore
from outcrop.storage.s3 import S3Store
from outcrop.storage.s3_address import FORM, SCHEME, S3Address

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def is_directory_address(address: str) -> bool:
    """Whether `address` is a path of this machine."""
    return not address.startswith(SCHEME)


def open_store(address: str) -> WritableStore:
    """The store at `address`, which is there; NotFound for a directory that is not. On S3 nothing is asked yet."""
    if not is_directory_address(address):
        return S3Store(S3Address.parse(address))
    if not Path(address).is_dir():
        raise NotFound(what=f"the storage {address}", hint="mount it, or check the path")
    return DirectoryStore(Path(address))


def create_store(address: str) -> WritableStore:
    """The store at `address`, made if it is a directory. A bucket must be there: its owner decides who may read it."""
    if is_directory_address(address):
        return DirectoryStore.create(Path(address))
    return S3Store.create(S3Address.parse(address))


def repository_address(given: str, repository: RepositoryName, environment: Mapping[str, str] = os.environ) -> str:
    """Where the objects of `repository` go when its owner says `given`: a place for repositories, or for this one.

    InvalidValue for what is neither a directory nor an address on S3."""
    if not is_directory_address(given):
        return str(S3Address.parse(given).named(repository).on_server(environment))
    if not given or _URL.match(given):
        raise InvalidValue(
            what=f"the storage {given!r}",
            problem="is no place to publish to",
            hint=f"name a directory, or an address on S3: {FORM}",
        )
    directory = Path(given).absolute()
    return str(directory if directory.name == repository else directory / repository)


def recorded_address(address: str, directory: Path) -> str:
    """How a record in `directory` names the storage at `address`: what lies below `directory` by its way from there.

    Whoever moves or copies the directory takes both along."""
    path = Path(address)
    if is_directory_address(address) and path.is_relative_to(directory):
        return str(path.relative_to(directory))
    return address


def located_address(recorded: str, directory: Path) -> str:
    """The address that a record in `directory` means by `recorded`."""
    return str(directory / recorded) if is_directory_address(recorded) else recorded
