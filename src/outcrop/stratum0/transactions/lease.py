"""Leases: who is changing which path of a repository, so that two writers never take each other's work for their own.

A lease covers paths with all that is below them. Two leases conflict when a path of one is at or below a path of the
other. There are two kinds, one file each in `FQRN.leases/` of the data directory:

    <process>-<number>.process     held by a process: the file is locked, and void as soon as the lock is gone,
                                   however the process ended
    <transaction>.transaction      held until the transaction of that name is published or aborted

    {"paths": ["/versions/2026.06"], "holder": "ann@builder", "purpose": "transaction 20261121-120000",
     "since": "2026-11-21T12:00:00Z"}

Paths are written as in URLs (`%E9` for a byte that is no ASCII). Files come and go under a lock that is held for
moments only. Writers of disjoint paths go ahead at the same time.
"""

from __future__ import annotations

import fcntl
import getpass
import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath, is_below, repository_path, shown
from outcrop.errors import Busy, FormatError, NotFound, storage_error
from outcrop.stratum0.lock import exclusive

FILES_SECONDS = 10.0
"""How long the lease files may be locked by others, who only read and write a few of them."""
POLL_SECONDS = 0.1
"""How often a lease that another process holds is looked at again."""

_LOCK_NAME = "lock"
_NUMBERS = itertools.count(1)


class LeaseKind(Enum):
    """What ends a lease; the value is the suffix of its file."""

    PROCESS = ".process"
    TRANSACTION = ".transaction"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that somebody holds. `name` is that of the transaction or of the process, `since` is in UTC."""

    name: str
    kind: LeaseKind
    paths: tuple[RepositoryPath, ...]
    holder: str
    purpose: str
    since: datetime

    def meets(self, path: RepositoryPath) -> RepositoryPath | None:
        """The path of this lease that is at, above or below `path`; None if there is none."""
        return next((own for own in self.paths if is_below(own, path) or is_below(path, own)), None)

    def covers(self, path: RepositoryPath) -> bool:
        """Whether `path` is at or below a path of this lease."""
        return any(is_below(path, own) for own in self.paths)


class _LeaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    paths: list[str]
    holder: str
    purpose: str
    since: datetime


def this_holder() -> str:
    """Who this process works for, as others are told: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class Leases:
    """The leases of the repository `name` of the owner of `data_directory`. `holder` is whom new ones are for."""

    def __init__(self, data_directory: Path, name: RepositoryName, holder: str = "") -> None:
        self.directory = data_directory / f"{name}.leases"
        self._repository = name
        self.holder = holder or this_holder()

    @contextmanager
    def held(
        self,
        paths: Sequence[RepositoryPath],
        purpose: str,
        now: datetime,
        *,
        transaction: str = "",
        wait_seconds: float = 0,
    ) -> Iterator[None]:
        """This process holds `paths` for the block, and no longer than it lives.

        Busy, naming the path, the holder and since when, if somebody else holds one of them: a process for longer than
        `wait_seconds`, or a transaction. The lease of `transaction`, on whose behalf the block runs, is no obstacle."""
        deadline = time.monotonic() + wait_seconds
        while (descriptor := self._hold(paths, purpose, now, transaction, deadline)) is None:
            time.sleep(POLL_SECONDS)
        path, number = descriptor
        try:
            yield
        finally:
            # First the name, then the lock: what others find under the name is locked.
            with suppress(FileNotFoundError):
                path.unlink()
            os.close(number)

    def take(self, transaction: str, paths: Sequence[RepositoryPath], purpose: str, now: datetime) -> None:
        """The transaction of that name holds `paths` until `release`; Busy as `held` says."""
        with self._files():
            self._refuse_conflicts(paths, transaction)
            path = self._path(transaction, LeaseKind.TRANSACTION)
            temporary = path.with_name(f".{path.name}")
            try:
                temporary.write_bytes(self._encoded(paths, purpose, now))
                temporary.replace(path)
            except OSError as error:
                raise storage_error(error, str(path)) from error

    def require_free(self, paths: Sequence[RepositoryPath], *, transaction: str = "") -> None:
        """Busy, as `take` says it, if somebody else than `transaction` holds one of `paths`; nothing is taken."""
        with self._files():
            self._refuse_conflicts(paths, transaction)

    def release(self, transaction: str) -> bool:
        """Ends the lease of the transaction of that name; whether there was one. Its file need not be readable."""
        with self._files():
            try:
                self._path(transaction, LeaseKind.TRANSACTION).unlink()
            except FileNotFoundError:
                return False
            except OSError as error:
                raise storage_error(error) from error
            return True

    def of_transaction(self, transaction: str) -> Lease | None:
        """The lease of the transaction of that name; None if it has none."""
        with self._files():
            path = self._path(transaction, LeaseKind.TRANSACTION)
            return self._read(path, LeaseKind.TRANSACTION) if path.exists() else None

    def transactions(self) -> list[str]:
        """The names of all transactions that hold a lease, sorted. The files are not read."""
        suffix = LeaseKind.TRANSACTION.value
        return sorted(path.name.removesuffix(suffix) for path in self.directory.glob(f"[!.]*{suffix}"))

    def all(self) -> list[Lease]:
        """Every lease that is held, the oldest first."""
        with self._files():
            return sorted(self._living(), key=lambda lease: (lease.since, lease.name))

    def _hold(
        self, paths: Sequence[RepositoryPath], purpose: str, now: datetime, transaction: str, deadline: float
    ) -> tuple[Path, int] | None:
        """The file of a new lease and the descriptor that locks it; None if it is worth waiting for."""
        with self._files():
            try:
                self._refuse_conflicts(paths, transaction, deadline)
            except _WorthWaiting:
                return None
            path = self._path(f"{os.getpid()}-{next(_NUMBERS)}", LeaseKind.PROCESS)
            temporary = path.with_name(f".{path.name}")
            try:
                descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise storage_error(error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, self._encoded(paths, purpose, now))
                temporary.replace(path)
            except OSError as error:
                os.close(descriptor)
                raise storage_error(error, str(path)) from error
            return path, descriptor

    def _refuse_conflicts(self, paths: Sequence[RepositoryPath], transaction: str, deadline: float = 0) -> None:
        for lease in self._living():
            if lease.kind is LeaseKind.TRANSACTION and lease.name == transaction:
                continue
            for path in paths:
                held = lease.meets(path)
                if held is None:
                    continue
                if lease.kind is LeaseKind.PROCESS and time.monotonic() < deadline:
                    raise _WorthWaiting
                raise self._busy(path, held, lease)

    def _busy(self, path: RepositoryPath, held: RepositoryPath, lease: Lease) -> Busy:
        hint = "wait for it to end, then try again"
        if lease.kind is LeaseKind.TRANSACTION:
            hint = (
                f"`outcrop repo publish {self._repository} --transaction {lease.name}` or "
                f"`outcrop repo abort {self._repository} --transaction {lease.name}` ends it; other paths are free"
            )
        holder = (
            f"{lease.holder} since {lease.since:%Y-%m-%d %H:%M:%S} UTC ({lease.purpose}, which holds {shown(held)})"
        )
        return Busy(what=f"{shown(path)} of {self._repository}", holder=holder, hint=hint)

    def _living(self) -> Iterator[Lease]:
        for path in sorted(self.directory.iterdir()):
            if path.name.startswith("."):
                # What a writer left who was killed half-way: nobody else is at work on these files now.
                path.unlink(missing_ok=True)
            elif path.suffix == LeaseKind.TRANSACTION.value:
                yield self._read(path, LeaseKind.TRANSACTION)
            elif path.suffix == LeaseKind.PROCESS.value and _is_locked(path):
                with suppress(NotFound):  # it ended just now
                    yield self._read(path, LeaseKind.PROCESS)

    def _read(self, path: Path, kind: LeaseKind) -> Lease:
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_LeaseFile)
            paths = tuple(repository_path(unquote_to_bytes(one)) for one in file.paths)
        except FileNotFoundError as error:
            raise NotFound(what=f"the lease {path}") from error
        except OSError as error:
            raise storage_error(error, str(path)) from error
        except msgspec.DecodeError as error:
            raise FormatError(
                what=str(path),
                field="the JSON text",
                problem=f"is no lease ({error})",
                hint=f"`outcrop repo abort {self._repository} --transaction {path.stem}` takes it away",
            ) from error
        return Lease(path.stem, kind, paths, file.holder, file.purpose, file.since)

    def _encoded(self, paths: Sequence[RepositoryPath], purpose: str, now: datetime) -> bytes:
        quoted = [quote_from_bytes(path) or "/" for path in paths]
        return msgspec.json.encode(_LeaseFile(quoted, self.holder, purpose, now)) + b"\n"

    def _path(self, name: str, kind: LeaseKind) -> Path:
        return self.directory / f"{name}{kind.value}"

    @contextmanager
    def _files(self) -> Iterator[None]:
        """Nobody else reads or writes lease files during the block."""
        with exclusive(
            self.directory / _LOCK_NAME, f"the list of leases of {self._repository}", wait_seconds=FILES_SECONDS
        ):
            yield


class _WorthWaiting(Exception):
    """A process holds what is wanted, and there is time left."""


def _is_locked(path: Path) -> bool:
    """Whether the process that made the lease file `path` lives; the file of one that does not is taken away."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
