"""Wheels from the index of Python packages that this machine's pip is set up for, kept in the mirror of packages."""

from __future__ import annotations

import os
from pathlib import Path

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.errors import IntegrityError, NetworkError
from outcrop.software.sources.pypi import PackageIndex, configured_indices

_HINT = "check the digest in the set; `pip config list` says which indices are asked"


def fetch_wheel(mirror: PackageMirror, name: str, version: str, sha256: str) -> Path:
    """The wheel of `name` with this digest, from the mirror or else from the first index that gives it.

    NotFound where it is not there and the network must not be asked, IntegrityError, NetworkError, StorageError."""
    what = f"the wheel {name} {version}"
    if mirror.fetcher is None or mirror.holds(sha256):
        return mirror.fetch(sha256, (), what)
    indices = PackageIndex(configured_indices(os.environ), mirror.fetcher)
    failures: list[IntegrityError | NetworkError] = []
    for index in indices.indices:
        try:
            url = indices.find(index, name, (sha256,))
            if url is not None:
                return mirror.fetch(sha256, (url,), what)
        except (IntegrityError, NetworkError) as error:
            failures.append(error)
    if failures:
        raise failures[0]
    raise NetworkError(what=what, problem=f"is on no index of Python packages with the SHA-256 {sha256}", hint=_HINT)
