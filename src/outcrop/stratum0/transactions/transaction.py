"""Transactions: a writable view of a repository that becomes one revision, or is thrown away.

Opening takes a lease on a path, mounts the current revision and lays an overlay over it (`view`). What the user changes
lands in the overlay's upper directory. Publishing takes the view away, so that nothing changes while it is read, and
lays the upper directory over what is the *current* revision by then: others may have published other paths meanwhile.

Publishing may be killed at any moment and done again. Until the manifest is swapped nothing has happened; afterwards
the same upper directory brings no change, so no second revision is made; and once that is recorded, what is left of the
upper directory is never looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path

from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import ROOT, RepositoryPath, shown
from outcrop.errors import (
    AlreadyExists,
    Busy,
    FormatError,
    InvalidValue,
    NotFound,
    OutcropError,
    StorageError,
    storage_error,
)
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.lock import exclusive
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.incoming_overlay import UpperDirectory, UpperPlan, count_changes
from outcrop.stratum0.transactions.lease import Lease, Leases
from outcrop.stratum0.transactions.overlay import Way
from outcrop.stratum0.transactions.transaction_record import (
    Stage,
    TransactionPlace,
    TransactionRecord,
    clear_remnants,
    transaction_names,
    transactions_home,
)
from outcrop.stratum0.transactions.view import (
    Mounting,
    discard_view,
    freeze_view,
    is_alive,
    is_mounted,
    open_view,
    process_inside,
)

_SHOWN_OUTSIDE = 10
_ABORT_ATTEMPTS = 20
"""A killed `outcrop repo transaction` may leave a process that mounts something a moment after we have looked, and who
has a copy of the view may write while its files are removed."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction whose view shows at `view`: here, or only in the namespaces of the process `inside`."""

    record: TransactionRecord
    view: Path
    inside: int | None

    @property
    def directory(self) -> Path:
        """What the transaction is about, in the view; it may not be there."""
        return self.view / shown(self.record.path).lstrip("/")


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """A transaction as a list shows it. `record` is None where it cannot be read, which `trouble` explains."""

    name: str
    record: TransactionRecord | None
    lease: Lease | None
    view: Path
    is_mounted: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """What became of a transaction. `ingested` is None where an earlier attempt had published it, as `revision`."""

    name: str
    ingested: IngestOutcome | None
    revision: Revision


@dataclass(frozen=True, slots=True)
class AbortOutcome:
    """What was thrown away, or with a dry run would be: a transaction with so many changes and mounts."""

    name: str
    path: RepositoryPath | None
    changes: int
    mounts: int


class Transactions:
    """The transactions of `repository`. `mounting` is how revisions are mounted here."""

    def __init__(self, repository: OwnedRepository, mounting: Mounting, leases: Leases | None = None) -> None:
        self.repository = repository
        self._mounting = mounting
        data_directory = repository.keys.directory
        self.leases = leases or Leases(data_directory, repository.name)
        self._home = transactions_home(data_directory, repository.name)

    def place(self, name: str) -> TransactionPlace:
        """Where the transaction called `name` is kept."""
        return TransactionPlace(self._home, name)

    def names(self) -> list[str]:
        """Every transaction of which anything is left, sorted."""
        return sorted({*transaction_names(self._home), *self.leases.transactions()})

    def the_one(self, name: str | None) -> str:
        """The transaction called `name`, or the only one there is; NotFound or InvalidValue otherwise."""
        names = self.names()
        fqrn = self.repository.name
        if name is None and len(names) > 1:
            raise InvalidValue(
                what=f"the transaction of {fqrn}",
                problem=f"is one of {len(names)}: {', '.join(names)}",
                hint="say which with `--transaction NAME`",
            )
        if not names or (name is not None and name not in names):
            what = f"an open transaction of {fqrn}" if name is None else f"the transaction {name} of {fqrn}"
            raise NotFound(
                what=what, hint=f"`outcrop repo transaction {fqrn}` opens one, `--list` shows those there are"
            )
        return name or names[0]

    def statuses(self) -> list[TransactionStatus]:
        """Every transaction, by name."""
        return [self.status(name) for name in self.names()]

    def status(self, name: str) -> TransactionStatus:
        """The transaction called `name`, of which something is left."""
        place = self.place(name)
        record = lease = None
        trouble = ""
        try:
            record = place.load()
            lease = self.leases.of_transaction(name)
        except (NotFound, FormatError) as error:
            trouble = str(error)
        return TransactionStatus(name, record, lease, place.view, is_mounted(place, self._mounting), trouble)

    def open(
        self,
        path: RepositoryPath,
        now: datetime,
        *,
        at: Path | None = None,
        only: Way | None = None,
        message: str = "",
    ) -> OpenTransaction:
        """Opens a transaction that may change what is at and below `path`, with a view of the current revision.

        Busy, naming the holder, if the path is leased. Raises as `open_view` does; nothing is left then."""
        manifest = self.repository.manifest(self.repository.signing_key())
        clear_remnants(self._home)
        with self._new_place(now) as place:
            self.leases.take(place.name, [path], message or f"transaction {place.name}", now)
            record = TransactionRecord(
                name=place.name,
                path=path,
                holder=self.leases.holder,
                since=now,
                base=manifest.root_catalog,
                base_revision=manifest.revision,
                message=message,
            )
            place.save(record)
            return self._mounted(place, record, at, only)

    def resume(self, name: str, *, at: Path | None = None) -> OpenTransaction:
        """The transaction called `name` with a view of what it has changed so far, mounted again if need be."""
        place = self.place(name)
        with self._worked_on(place):
            record = place.load()
            if record.stage is Stage.PUBLISHED:
                raise self._published_already(record)
            if record.stage is Stage.OPEN and is_alive(place, self._mounting):
                if at is not None:
                    raise AlreadyExists(what=f"the view at {place.view}", hint="leave out `--at`")
                return OpenTransaction(record, place.view, process_inside(place, self._mounting))
            discard_view(place, self._mounting)
            self.leases.take(name, [record.path], record.message or f"transaction {name}", record.since)
            # What one way has noted in the upper directory, another would not understand.
            return self._mounted(place, record, at, record.way)

    def _mounted(
        self, place: TransactionPlace, record: TransactionRecord, at: Path | None, only: Way | None
    ) -> OpenTransaction:
        way = open_view(place, record.base, self._mounting, at=at, only=only)
        record = replace(record, way=way, owners_shown=way.shows_owners, stage=Stage.OPEN)
        place.save(record)
        return OpenTransaction(record, place.view, process_inside(place, self._mounting))

    def plan(self, name: str, request: IngestRequest, now: datetime) -> IngestOutcome:
        """What publishing would do now; nothing is changed, and the view stays."""
        record = self._open_record(self.place(name))
        with self._upper(record) as upper:
            return ingest(self.repository, self._request(record, upper, request), now=now, dry_run=True)

    def publish(
        self, name: str, request: IngestRequest, now: datetime, *, progress: Progress = SILENT
    ) -> PublishOutcome:
        """Makes one revision of what was changed, and ends the transaction.

        `request` says all but the trees, the paths and the transaction. Busy if the view or a copy of it is in use,
        InvalidValue for changes outside of the transaction's path: then the view stays. After any other error the
        transaction stays, without a view."""
        place = self.place(name)
        with self._worked_on(place):
            record = place.load()
            if record.stage is Stage.PUBLISHED and record.revision is not None:
                self._end(place)
                return PublishOutcome(name, None, record.revision)
            record = self._open_record(place)
            with self._upper(record) as upper:
                self._refuse_outside(record, upper.plan())
            freeze_view(place, self._mounting)
            with self._upper(record) as upper:
                outcome = ingest(self.repository, self._request(record, upper, request), now=now, progress=progress)
            revision = outcome.manifest.revision
            place.save(replace(record, stage=Stage.PUBLISHED, revision=revision))
            self._end(place)
            return PublishOutcome(name, outcome, revision)

    def abort(self, name: str, *, dry_run: bool = False) -> AbortOutcome:
        """Throws the transaction away, whatever state it is in: mounted or not, in use, half opened, without a record.

        Busy if another process is publishing or aborting it at this moment, or something else is mounted in it."""
        place = self.place(name)
        path: RepositoryPath | None = None
        try:
            path = place.load().path
        except OutcropError:
            path = None
        changes = count_changes(place.upper)
        if dry_run:
            return AbortOutcome(name, path, changes, int(is_mounted(place, self._mounting)))
        with self._worked_on(place):
            mounts = discard_view(place, self._mounting)
            for attempt in count():
                try:
                    place.remove()
                    break
                except (Busy, StorageError):
                    if attempt == _ABORT_ATTEMPTS:
                        raise
                    mounts += discard_view(place, self._mounting)
            self.leases.release(name)
        return AbortOutcome(name, path, changes, mounts)

    def _end(self, place: TransactionPlace) -> None:
        discard_view(place, self._mounting)
        self.leases.release(place.name)
        place.remove()

    def _open_record(self, place: TransactionPlace) -> TransactionRecord:
        record = place.load()
        if record.stage is Stage.PUBLISHED:
            raise self._published_already(record)
        if record.stage is Stage.OPENING or record.way is None:
            raise InvalidValue(
                what=f"the transaction {record.name}",
                problem="was never opened to the end",
                hint=f"`outcrop repo abort {self.repository.name} --transaction {record.name}` clears it away",
            )
        return record

    def _published_already(self, record: TransactionRecord) -> InvalidValue:
        return InvalidValue(
            what=f"the transaction {record.name}",
            problem=f"was published as revision {record.revision}",
            hint=f"`outcrop repo publish {self.repository.name} --transaction {record.name}` clears up after it",
        )

    @contextmanager
    def _upper(self, record: TransactionRecord) -> Iterator[UpperDirectory]:
        """What the transaction has changed, against what the repository has now."""
        assert record.way is not None
        repository = self.repository
        tree = repository.catalog_tree(repository.manifest(repository.signing_key()))
        try:
            yield UpperDirectory(
                self.place(record.name).upper,
                tree.lookup,
                path=record.path,
                marker_files=record.way.marks_by_files,
                owners_kept=record.owners_shown,
                with_xattrs=repository.settings.extended_attributes,
            )
        finally:
            tree.close()

    def _request(self, record: TransactionRecord, upper: UpperDirectory, request: IngestRequest) -> IngestRequest:
        plan = upper.plan()
        self._refuse_outside(record, plan)
        return replace(
            request,
            trees=(upper,),
            at=ROOT,
            delete=plan.delete,
            replace=plan.replace,
            door=replace(request.door, within=request.door.within or (record.path,)),
            message=request.message or record.message,
            transaction=record.name,
        )

    def _refuse_outside(self, record: TransactionRecord, plan: UpperPlan) -> None:
        if not plan.outside:
            return
        more = len(plan.outside) - _SHOWN_OUTSIDE
        named = [shown(path) for path in plan.outside[:_SHOWN_OUTSIDE]] + ([f"{more} more"] if more > 0 else [])
        raise InvalidValue(
            what=f"the transaction {record.name}",
            problem=f"has changes outside of {shown(record.path)}: {', '.join(named)}",
            hint="take them back in the view, then publish again; nothing was published",
        )

    @contextmanager
    def _new_place(self, now: datetime) -> Iterator[TransactionPlace]:
        """A place that nobody has, named for the time. Whatever the block leaves is cleared away if it fails."""
        with ExitStack() as lock:
            for number in count(1):
                place = self.place(f"{now:%Y%m%d-%H%M%S}" + (f"-{number}" if number > 1 else ""))
                try:
                    # The lock comes first: an empty directory that nobody has locked is a remnant for others.
                    lock.enter_context(self._worked_on(place))
                    place.directory.mkdir()
                    break
                except (Busy, FileExistsError):
                    lock.close()
                except OSError as error:
                    raise storage_error(error) from error
            try:
                yield place
            except BaseException:
                self._end(place)
                raise

    @contextmanager
    def _worked_on(self, place: TransactionPlace) -> Iterator[None]:
        """Nobody else publishes, aborts or resumes this transaction meanwhile."""
        with exclusive(place.lock, f"the transaction {place.name}"):
            yield
