"""Names that run through everything: repositories and revisions."""

from __future__ import annotations

import re
from typing import NewType

from outcrop.errors import InvalidValue

RepositoryName = NewType("RepositoryName", str)
"""A fully qualified repository name such as `software.eessi.io`."""

Revision = NewType("Revision", int)
"""A revision number; it only ever grows."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)+")
MAXIMUM_NAME_LENGTH = 253
"""The longest domain name (RFC 1035), since clients make host and file names of it."""


def repository_name(text: str) -> RepositoryName:
    """`text` as a repository's name; InvalidValue when it is none."""
    if len(text) > MAXIMUM_NAME_LENGTH or not _NAME.fullmatch(text):
        raise InvalidValue(
            what=f"the repository name {text[:300]!r}",
            problem="is not of the form name.domain",
            hint="use letters, digits, `-` and `_`, with at least one dot, as in `software.example.org`",
        )
    return RepositoryName(text)
