"""A repository of the tests' own, as an address and the options that prove it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from outcrop.cvmfs.objects import WHITELIST_NAME
from tests.client.published import Published, keys, library, signed_whitelist

NEVER = datetime(2200, 1, 1, tzinfo=UTC)
"""The command line lives by the machine's own clock."""


def arguments(tmp_path: Path, published: Published | None = None) -> tuple[str, str, str]:
    """REPO and `--key KEY` for `published` (the library by default), written below `tmp_path`."""
    published = published or library()
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(expires=NEVER), published.owner.master)
    server = published.write(tmp_path / "some server" / "books.example.org")
    key = tmp_path / "books.example.org.pub"
    key.write_bytes(keys().public_pem)
    return server.as_uri(), "--key", str(key)
