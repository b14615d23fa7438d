"""A mirror of packages and indices by content: `sha256/<two digits>/<the digest>`.

One mirror serves every layer, release and family. What is in it was verified when it came, and is verified again when
it is used, so a damaged file is fetched anew instead of built in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import IntegrityError, NetworkError, NotFound, storage_error
from outcrop.software.sources.download import Downloads, Fetcher
from outcrop.whole_file import write_whole_file

PARTIAL = ".partial"
_FETCH_HINT = (
    "`outcrop compat build --lock LOCK` fetches what a lock names, if a mirror of the release still has it; `--mirror` "
    "names another directory of packages"
)


@dataclass(frozen=True, slots=True)
class PackageMirror:
    """The mirror in `directory`; `fetcher` is None where the network must not be asked."""

    directory: Path
    fetcher: Fetcher | None = None

    def place(self, sha256: str) -> Path:
        """Where the file with this digest is or would be."""
        return self.directory / "sha256" / sha256[:2] / sha256

    def holds(self, sha256: str) -> bool:
        """Whether the file is there, with these very bytes."""
        try:
            with self.place(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error) from error

    def fetch(
        self, sha256: str, urls: Sequence[str], what: str, on_bytes: Callable[[int], None] = lambda _: None
    ) -> Path:
        """The file with this digest, from the mirror or else the first of `urls` that gives it.

        Where the network must not be asked, raises NotFound for one that is not there and IntegrityError for one with
        other bytes; else IntegrityError where all that was given has another digest, NetworkError."""
        place = self.place(sha256)
        if self.holds(sha256):
            return place
        if self.fetcher is None:
            named = f"{what} (SHA-256 {sha256})"
            if place.exists():
                raise IntegrityError(what=named, problem=f"{place} has other bytes", hint=_FETCH_HINT)
            raise NotFound(what=named, hint=f"it is not in {self.directory}; {_FETCH_HINT}")
        failures: list[IntegrityError | NetworkError] = []
        for url in urls:
            try:
                self.fetcher.store(url, place, (sha256,), on_bytes)
            except (IntegrityError, NetworkError) as error:
                failures.append(error)
            else:
                return place
        wrong = [failure for failure in failures if isinstance(failure, IntegrityError)]
        if wrong:
            raise IntegrityError(what=what, problem=wrong[0].message, hint="try another mirror, or later") from wrong[0]
        if failures:
            raise failures[0]
        raise NetworkError(what=what, problem="cannot be fetched: there is no address for it")

    def cancel(self) -> None:
        """Ends what other threads are fetching, instead of waiting for it."""
        if isinstance(self.fetcher, Downloads):
            self.fetcher.cancelled.set()

    def keep(self, data: bytes) -> str:
        """Puts `data` in; its digest."""
        digest = hashlib.sha256(data).hexdigest()
        place = self.place(digest)
        try:
            if not self.holds(digest):
                place.parent.mkdir(parents=True, exist_ok=True)
                write_whole_file(place, data)
        except OSError as error:
            raise storage_error(error, str(place)) from error
        return digest
