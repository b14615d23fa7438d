"""What a user means by REPO: a URL (`http://host/…/FQRN`, `file:///dir/FQRN`) or the name of a known repository.

The last component of a URL is the name that the repository is expected to have, so a server cannot pass one repository
off as another. A replica that serves it under an alias is read with the true name said explicitly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, unquote_to_bytes, urlsplit

from outcrop.client.known_repository import KnownRepositories, KnownRepository, RepositoryAddress
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import InvalidValue, NotFound
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.http import HttpStore
from outcrop.storage.interface import ReadableStore
from outcrop.storage.s3 import S3Store
from outcrop.storage.s3_address import SCHEME, S3Address

__all__ = ["RepositoryAddress", "find_address", "open_store"]


def find_address(
    text: str,
    known: KnownRepositories,
    *,
    name: str = "",
    keys: Sequence[Path] = (),
    external_servers: Sequence[str] = (),
) -> RepositoryAddress:
    """What `text` means; `name`, `keys` and `external_servers` come before what is known.

    NotFound for an unknown name, InvalidValue for what is no address, or for a URL without keys."""
    parts = urlsplit(text)
    if not parts.scheme:
        return _known_address(text, known, name, keys, external_servers)
    expected = repository_name(name) if name else _name_in_url(parts, text)
    _check_url(text)
    configured = known.find(expected)
    chosen_keys = tuple(keys) or (configured.keys if configured else ())
    if not chosen_keys:
        raise InvalidValue(
            what=f"the repository at {text}",
            problem="cannot be trusted without its public key",
            hint=f"get the key from its owner and name it: `--key {expected}.pub`",
        )
    # A URL says where the repository is; how it is read there is as for every repository.
    base = configured or known.choice.over(KnownRepository(expected, (), ()))
    return _address(base, expected, (text,), chosen_keys, external_servers)


def open_store(server: str) -> ReadableStore:
    """The store at `server`, a URL or a directory. InvalidValue for another kind of URL."""
    if server.startswith(SCHEME):
        # Where our own repositories lie; everybody else reads what lies on S3 by a URL.
        return S3Store(S3Address.parse(server))
    parts = urlsplit(server)
    if parts.scheme in ("http", "https"):
        return HttpStore(server)
    if parts.scheme == "file":
        return DirectoryStore(_directory(parts, server))
    if not server.startswith("/"):
        raise InvalidValue(
            what=f"the server {server!r}",
            problem="is no address that can be read from",
            hint="it is an http or https URL, a file URL, or an absolute path",
        )
    return DirectoryStore(Path(server))


def _known_address(
    text: str, known: KnownRepositories, name: str, keys: Sequence[Path], external_servers: Sequence[str]
) -> RepositoryAddress:
    found = known.find(text)
    if found is not None:
        expected = repository_name(name) if name else found.name
        return _address(found, expected, found.servers, tuple(keys) or found.keys, external_servers)
    if "/" in text:
        where = Path(text).absolute().as_uri()
        raise InvalidValue(
            what=f"the repository {text!r}",
            problem="is neither a URL nor a name",
            hint=f"a repository in a directory is written as a URL: {where}",
        )
    names = ", ".join(known.names)
    raise NotFound(
        what=f"a repository called {text!r}",
        hint=f"known are {names}" if names else "give its URL and `--key`, or name it in the configuration",
    )


def _address(
    known: KnownRepository,
    name: RepositoryName,
    servers: tuple[str, ...],
    keys: tuple[Path, ...],
    external_servers: Sequence[str],
) -> RepositoryAddress:
    return replace(
        known.address,
        name=name,
        servers=servers,
        keys=keys,
        external_servers=tuple(external_servers) or known.external_servers,
    )


def _check_url(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme == "file":
        _directory(parts, text)
    elif parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue(
            what=f"the address {text!r}", problem="is not understood", hint="use http://, https:// or file:///"
        )
    if parts.query or parts.fragment:
        raise InvalidValue(
            what=f"the address {text!r}", problem="has something behind the path", hint="write `?` as %3F, `#` as %23"
        )


def _name_in_url(parts: SplitResult, text: str) -> RepositoryName:
    last = unquote(parts.path).rstrip("/").rpartition("/")[2]
    try:
        return repository_name(last)
    except InvalidValue as error:
        raise InvalidValue(
            what=f"the address {text!r}",
            problem="does not end in a repository's name",
            hint="say which repository is there with `--fqrn`, as in `--fqrn software.example.org`",
        ) from error


def _directory(parts: SplitResult, text: str) -> Path:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidValue(
            what=f"the address {text!r}", problem="names no local directory", hint="write file:/// and the path"
        )
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))
