"""What proved the newest manifest of a repository, kept so that it can be opened while no server answers.

The bytes of the few signed files (manifest, whitelist, certificate, freshness record) stand in one file a repository,
`proofs/<name>.msgpack` in the state directory. They are taken for one more server, and believed no more than one: every
rule of `outcrop.client.trust` is applied to them anew, so they hold until the whitelist or the freshness record ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.errors import NotFound, OutcropError, StorageError
from outcrop.storage.interface import DEFAULT_READ_LIMIT, Fetched, ReadableStore, Wanted
from outcrop.whole_file import write_whole_file

_FORM = 1


class _Record(msgspec.Struct, frozen=True):
    """What stands in a file. `keys` is the digest of the public keys that the manifest was proved with."""

    form: int
    keys: str
    revision: int
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class ReadingNoted:
    """A server, and the small files that were read from it: bytes by name."""

    server: ReadableStore
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.server.address

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        data = self.files[name] = self.server.read(name, limit=limit)
        return data

    def exists(self, name: str) -> bool:
        return self.server.exists(name)

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        return self.server.fetch(wanted)

    def close(self) -> None:
        self.server.close()


def proofs_among(accepted: ReadingNoted, others: Sequence[ReadingNoted], record: bytes) -> dict[str, bytes]:
    """The files that proved what `accepted` showed: its own, the freshness record that held (empty for none), and the
    certificates that others had."""
    proofs: dict[str, bytes] = {}
    for other in others:
        proofs |= other.files
    return proofs | accepted.files | ({FRESHNESS_NAME: record} if record else {})


@dataclass(frozen=True, slots=True)
class KeptProofs:
    """The proofs kept in `state_directory` of the repository `name`, for the public keys with the digest `keys`."""

    state_directory: Path
    name: RepositoryName
    keys: str

    @property
    def path(self) -> Path:
        return self.state_directory / "proofs" / f"{self.name}.msgpack"

    def keep(self, revision: Revision, files: Mapping[str, bytes]) -> None:
        """Keeps `files`, which proved `revision`, unless there is a newer one. Where that cannot be written, the next
        start needs a server."""
        known = self._recalled()
        record = _Record(_FORM, self.keys, revision, dict(files))
        if known is not None and (known == record or known.revision > revision):
            return
        with suppress(OSError, StorageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.path, msgspec.msgpack.encode(record))

    def recall(self) -> ReadableStore | None:
        """What is kept, as a server shows it; None for nothing."""
        record = self._recalled()
        return None if record is None else _KeptFiles(str(self.path), record.files)

    def _recalled(self) -> _Record | None:
        try:
            record = msgspec.msgpack.decode(self.path.read_bytes(), type=_Record)
        except (OSError, ValueError, msgspec.MsgspecError):
            # Nothing there, or rubbish: text that is no UTF-8 is a ValueError of its own.
            return None
        return record if (record.form, record.keys) == (_FORM, self.keys) else None


@dataclass(frozen=True, slots=True)
class _KeptFiles:
    """Files in memory, as a place for objects."""

    address: str
    files: Mapping[str, bytes]

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        data = self.files.get(name)
        if data is None or len(data) > limit:
            raise self._lacks(name)
        return data

    def exists(self, name: str) -> bool:
        return name in self.files

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        for one in wanted:
            error: OutcropError | None = None
            try:
                one.sink.write(self.read(one.name))
            except OutcropError as problem:
                error = problem
            yield Fetched(one, error)

    def close(self) -> None:
        return

    def _lacks(self, name: str) -> NotFound:
        return NotFound(what=f"{name} in {self.address}", hint="connect to a network once; it is kept again then")
