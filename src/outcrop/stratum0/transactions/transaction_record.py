"""What is kept of an open transaction: a directory, and in it a record of what it is.

    <data dir>/FQRN.transactions/<name>.lock         held by whoever works on the transaction just now
    <data dir>/FQRN.transactions/<name>/
        transaction.json      what is recorded: path, holder, base revision, way, stage
        upper/                all changes, as overlays write them: the one thing that cannot be made again
        work/, trial/         the overlay's own, and where fuse-overlayfs is tried out
        lower/                where the base revision is mounted
        view                  where the overlay shows: a directory, or a link to the one that was asked for
        view.lock             held for as long as fuse-overlayfs serves the view
        seen/, log            of the process that serves `lower`

The record is written whole or not at all. The directory goes in an order such that what is left at any moment is known
for what it is: without a record there is nothing to publish.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.errors import Busy, FormatError, InvalidValue, NotFound, storage_error
from outcrop.stratum0.lock import alone_if_free
from outcrop.stratum0.transactions.overlay import Way

_LOCK_SUFFIX = ".lock"


class Stage(Enum):
    """How far a transaction has come."""

    OPENING = "opening"
    OPEN = "open"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """What is known of a transaction. `base` is the root catalog of the revision `base_revision` that it began from.

    `owners_shown` says whether the view shows the repository's owners. `revision` is what it became."""

    name: str
    path: RepositoryPath
    holder: str
    since: datetime
    base: Digest
    base_revision: Revision
    way: Way | None = None
    owners_shown: bool = True
    message: str = ""
    stage: Stage = Stage.OPENING
    revision: Revision | None = None


class _RecordFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    path: str
    holder: str
    since: datetime
    base: str
    base_revision: int
    stage: str
    way: str = ""
    owners_shown: bool = True
    message: str = ""
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """Where the transaction called `name` is kept."""

    home: Path
    name: str

    @property
    def directory(self) -> Path:
        return self.home / self.name

    @property
    def lock(self) -> Path:
        return self.home / f"{self.name}{_LOCK_SUFFIX}"

    @property
    def record(self) -> Path:
        return self.directory / "transaction.json"

    @property
    def upper(self) -> Path:
        return self.directory / "upper"

    @property
    def lower(self) -> Path:
        return self.directory / "lower"

    @property
    def view_lock(self) -> Path:
        return self.directory / "view.lock"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def view(self) -> Path:
        """Where the overlay shows."""
        try:
            return Path(os.readlink(self.directory / "view"))
        except OSError:
            return self.directory / "view"

    def prepare(self, view: Path | None) -> None:
        """Makes the directories that are missing; the overlay is to show at `view`, or here."""
        shown = self.directory / "view"
        try:
            for name in ("upper", "work", "lower"):
                (self.directory / name).mkdir(exist_ok=True)
            if view is not None:
                if shown.is_symlink():
                    shown.unlink()
                elif shown.is_dir():
                    shown.rmdir()
                shown.symlink_to(view)
            elif not shown.is_symlink():
                shown.mkdir(exist_ok=True)
            # The upper directory's own mode is what the top of the view has.
            self.upper.chmod(0o755)
        except OSError as error:
            raise storage_error(error) from error

    def load(self) -> TransactionRecord:
        """The record; NotFound if there is none, FormatError if it is damaged."""
        discard = f"`outcrop repo abort {repository_of(self.home)} --transaction {self.name}` throws it away"
        try:
            file = msgspec.json.decode(self.record.read_bytes(), type=_RecordFile)
            return TransactionRecord(
                name=self.name,
                path=repository_path(unquote_to_bytes(file.path)),
                holder=file.holder,
                since=file.since,
                base=Digest.parse(file.base, what=str(self.record), field="base"),
                base_revision=Revision(file.base_revision),
                way=Way(file.way) if file.way else None,
                owners_shown=file.owners_shown,
                message=file.message,
                stage=Stage(file.stage),
                revision=None if file.revision is None else Revision(file.revision),
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(what=f"the record of the transaction {self.name}", hint=discard) from error
        except OSError as error:
            raise storage_error(error, str(self.record)) from error
        except (ValueError, InvalidValue) as error:
            # Also msgspec's DecodeError.
            raise FormatError(
                what=str(self.record), field="the JSON text", problem=f"is no record ({error})", hint=discard
            ) from error

    def save(self, record: TransactionRecord) -> None:
        """Writes the record, whole or not at all."""
        file = _RecordFile(
            path=quote_from_bytes(record.path) or "/",
            holder=record.holder,
            since=record.since,
            base=record.base.text,
            base_revision=record.base_revision,
            way=record.way.value if record.way else "",
            owners_shown=record.owners_shown,
            message=record.message,
            stage=record.stage.value,
            revision=record.revision,
        )
        temporary = self.record.with_name(f".{self.record.name}")
        try:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
            temporary.replace(self.record)
        except OSError as error:
            raise storage_error(error, str(self.record)) from error

    def remove(self) -> None:
        """Takes the directory away, the record last; nothing may be mounted in it. Busy if something still is."""
        try:
            if self.directory.is_dir():
                device = os.lstat(self.directory).st_dev
                for child in sorted(self.directory.iterdir(), key=lambda path: path == self.record):
                    _remove(child, device)
                self.directory.rmdir()
            self.lock.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, str(self.directory)) from error


def transactions_home(data_directory: Path, repository: RepositoryName) -> Path:
    """Where the transactions of a repository are kept."""
    return data_directory / f"{repository}.transactions"


def repository_of(home: Path) -> str:
    """The name of the repository whose transactions are kept in `home`."""
    return home.name.removesuffix(".transactions")


def transaction_names(home: Path) -> list[str]:
    """The names of the transactions that have a directory in `home`, sorted. An empty one is a remnant of one that has
    ended."""
    try:
        return sorted(path.name for path in home.iterdir() if path.is_dir() and any(path.iterdir()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error) from error


def clear_remnants(home: Path) -> None:
    """Takes away what killed processes have left of transactions that have ended, or had not begun: empty directories
    and locks that nobody holds."""
    try:
        names = {path.name.removesuffix(_LOCK_SUFFIX) for path in home.iterdir()}
        for name in names.difference(transaction_names(home)):
            place = TransactionPlace(home, name)
            with alone_if_free(place.lock) as is_free:
                # It may have become a transaction meanwhile.
                if is_free and name not in transaction_names(home):
                    place.remove()
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error) from error


def open_transactions(data_directory: Path, repository: RepositoryName) -> list[TransactionRecord]:
    """The records of all transactions that may still be published or looked at, by name.

    One without a record that can be read is not among them: it can only be thrown away."""
    home = transactions_home(data_directory, repository)
    found = []
    for name in transaction_names(home):
        try:
            record = TransactionPlace(home, name).load()
        except (NotFound, FormatError):
            continue
        if record.stage is not Stage.PUBLISHED:
            found.append(record)
    return found


def _remove(path: Path, device: int) -> None:
    """Removes `path` with all below it, read-only directories too; Busy at the border of another file system."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        path.unlink()
        return
    if status.st_dev != device:
        raise _still_mounted(path)
    os.chmod(path, stat.S_IRWXU)
    for directory, names, _files in os.walk(path):
        for name in names:
            below = Path(directory, name)
            status = os.lstat(below)
            if stat.S_ISDIR(status.st_mode) and status.st_dev != device:
                raise _still_mounted(below)
            if stat.S_ISDIR(status.st_mode):
                below.chmod(stat.S_IRWXU)
    shutil.rmtree(path)


def _still_mounted(path: Path) -> Busy:
    hint = f"`umount {shlex.quote(str(path))}`, then try again"
    return Busy(what=str(path), holder="a file system that is mounted there", hint=hint)
