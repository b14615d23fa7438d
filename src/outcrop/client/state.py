"""What this machine remembers of repositories that it has read, so that nobody can show it an older state.

One file a repository, `seen/<name>.json` in the state directory:

    {"<digest of the public keys>": {"revision": 7, "timestamp": 1795227010, "root_catalog": "90af6b…"}}

Where a repository has meta-information, `"freshness"` stands beside: the digest of it, what it announced, and when the
newest freshness record was issued:

    "freshness": {"metainfo": "3bad…", "announcement": {"maximum_age": 604800}, "issued": 1795227010}

Keyed by the public keys too, because a repository that its owner begins anew has new keys and starts at revision 1.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outcrop.client.trust import Seen, SeenFreshness
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.freshness_announcement import FreshnessAnnouncement
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.errors import FormatError, storage_error


class _Freshness(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    metainfo: str | None = None
    announcement: dict[str, object] | None = None
    issued: int | None = None

    @classmethod
    def of(cls, seen: SeenFreshness) -> _Freshness:
        return cls(
            seen.metainfo.text if seen.metainfo else None,
            seen.announcement.encode() if seen.announcement else None,
            seen.issued,
        )

    def seen(self, what: str) -> SeenFreshness:
        return SeenFreshness(
            Digest.parse(self.metainfo, what=what, field="metainfo") if self.metainfo else None,
            FreshnessAnnouncement.parse(self.announcement) if self.announcement else None,
            self.issued,
        )


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    revision: int
    timestamp: int | None
    root_catalog: str
    freshness: _Freshness | None = None

    @classmethod
    def of(cls, seen: Seen) -> _Record:
        freshness = _Freshness.of(seen.freshness) if seen.freshness else None
        return cls(seen.revision, seen.timestamp, seen.root_catalog.text, freshness)

    def seen(self, what: str) -> Seen:
        """What is recorded; FormatError, about the file `what`, if it means nothing."""
        digest = Digest.parse(self.root_catalog, what=what, field="root_catalog")
        freshness = self.freshness.seen(what) if self.freshness else None
        return Seen(Revision(self.revision), self.timestamp, digest, freshness)


def keys_digest(keys: Iterable[rsa.RSAPublicKey]) -> str:
    """What stands for a set of public keys, whatever their order."""
    encoded = sorted(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys)
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in encoded)).hexdigest()


class SeenRevisions:
    """The newest states seen, in files below `directory` that several processes may write."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "seen"

    def path(self, repository: RepositoryName) -> Path:
        return self.directory / f"{repository}.json"

    def recall(self, repository: RepositoryName, keys: str) -> Seen | None:
        """What was seen of `repository` under `keys`; None if nothing was.

        FormatError for a file that cannot be understood: to forget silently would help an attacker."""
        record = self._records(repository).get(keys)
        if record is None:
            return None
        return record.seen(str(self.path(repository)))

    def remember(self, repository: RepositoryName, keys: str, seen: Seen) -> None:
        """Keeps `seen`, unless another process has kept something newer; StorageError where nothing can be written."""
        path = self.path(repository)
        records = self._records(repository)
        record = _Record.of(seen)
        known = records.get(keys)
        if known is not None and (known == record or known.seen(str(path)).rank > seen.rank):
            return
        records[keys] = record
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(msgspec.json.format(msgspec.json.encode(records)) + b"\n")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error) from error

    def _records(self, repository: RepositoryName) -> dict[str, _Record]:
        path = self.path(repository)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise storage_error(error) from error
        try:
            return msgspec.json.decode(data, type=dict[str, _Record])
        except msgspec.DecodeError as error:
            raise FormatError(
                what=str(path),
                field="the JSON text",
                problem=f"is not what was written there ({error})",
                hint="if you know why, remove the file; the repository's revision is then trusted as at first sight",
            ) from error
