"""A network in memory that keeps count of what it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.errors import IntegrityError, NetworkError
from outcrop.software.plan import FileRole, WantedFile
from outcrop.software.sources.download import Changed


@dataclass
class PretendedNetwork:
    """Answers with `pages`; an address that it does not have cannot be fetched. Every body has its digest as tag."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def read(self, url: str, headers: Iterable[str] = (), limit: int | None = None) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise NetworkError(what=url, problem="cannot be fetched: 404")
        if limit is not None and len(self.pages[url]) > limit:
            raise NetworkError(what=url, problem=f"sends more than {limit:,} bytes")
        return self.pages[url]

    def read_changed(self, url: str, etag: str) -> Changed | None:
        body = self.read(url)
        tag = digest_of(body)
        return None if tag == etag else Changed(body, tag)

    def store(self, url: str, destination: Path, sha256: tuple[str, ...], on_bytes: Callable[[int], None]) -> None:
        body = self.read(url)
        if digest_of(body) not in sha256:
            raise IntegrityError(what=url, problem="has another SHA-256")
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(body)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def wanted(name: str, body: bytes, *urls: str, shelf: str = "x/x") -> WantedFile:
    """A source file with the contents `body`."""
    return WantedFile(name, shelf, FileRole.SOURCE, (digest_of(body),), urls)
