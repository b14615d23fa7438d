"""What is written down of a signing key that is being replaced: `FQRN.rotation.json` in the data directory.

    {"old": "0c7e…", "new": "51aa…", "grace": 301, "announced_at": 1795262400, "switched_at": null}

`old` and `new` are fingerprints as whitelists have them, `grace` is in seconds, the dates are in seconds since 1970.
The record begins with a new key that nobody knows and ends when the old one is on no whitelist any more:

| phase | what readers see | ends |
|---|---|---|
| prepared | old whitelist, old signature | with a whitelist that lists both keys |
| announced | both keys listed, old signature | `grace` later, with a manifest signed by the new key |
| switched | both keys listed, new signature | `grace` later, with a whitelist that lists the new key alone |
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

import msgspec

from outcrop.cvmfs.digest import Digest
from outcrop.errors import FormatError, storage_error
from outcrop.stratum0.signing.key_files import PUBLIC_MODE, remove_key_file, write_key_file
from outcrop.stratum0.signing.keys import KeyFiles


class RotationPhase(Enum):
    """How far a rotation is; the value is how people are told."""

    PREPARED = "prepared"
    ANNOUNCED = "announced"
    SWITCHED = "switched"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    old: str
    new: str
    grace: int
    announced_at: int | None = None
    switched_at: int | None = None


@dataclass(frozen=True, slots=True)
class RotationRecord:
    """A signing key on its way: the fingerprints of its certificate and of the old one, and since when what holds."""

    old: Digest
    new: Digest
    grace: timedelta
    announced_at: datetime | None = None
    switched_at: datetime | None = None

    @property
    def phase(self) -> RotationPhase:
        if self.switched_at is not None:
            return RotationPhase.SWITCHED
        return RotationPhase.ANNOUNCED if self.announced_at is not None else RotationPhase.PREPARED

    @property
    def due_at(self) -> datetime | None:
        """When everybody has seen the present phase, so that the next may begin; None while nothing is announced."""
        since = self.switched_at or self.announced_at
        return since + self.grace if since is not None else None

    def is_due(self, now: datetime) -> bool:
        """Whether everybody has seen the present phase."""
        return self.due_at is not None and now >= self.due_at

    def required(self, now: datetime) -> tuple[Digest, ...]:
        """The fingerprints that a whitelist of `now` must list: the old one too, until nobody needs it."""
        if self.phase is RotationPhase.SWITCHED and self.is_due(now):
            return (self.new,)
        return (self.new, self.old)

    def after_whitelist(
        self, listed: Collection[Digest], before: Collection[Digest], now: datetime
    ) -> RotationRecord | None:
        """The record after a whitelist that lists `listed` took the place of one that listed `before`, at `now`; None
        if the rotation is complete."""
        if self.phase is RotationPhase.SWITCHED:
            return self if self.old in listed else None
        if self.new not in listed:
            return replace(self, announced_at=None)
        if self.announced_at is not None and self.new in before:
            return self
        return replace(self, announced_at=now)


def load_rotation(files: KeyFiles) -> RotationRecord | None:
    """The rotation that is under way; None if there is none. FormatError for a record that is not ours."""
    what = str(files.rotation)
    try:
        data = files.rotation.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, what) from error
    try:
        record = msgspec.json.decode(data, type=_Record)
        return RotationRecord(
            Digest.parse(record.old, what=what, field="old"),
            Digest.parse(record.new, what=what, field="new"),
            timedelta(seconds=record.grace),
            _moment(record.announced_at),
            _moment(record.switched_at),
        )
    except (msgspec.DecodeError, OverflowError, ValueError) as error:
        raise FormatError(
            what=what, field="the JSON text", problem=f"is not what was written there ({error})"
        ) from error


def save_rotation(files: KeyFiles, record: RotationRecord | None) -> None:
    """Writes the record, whole and durably; without one, takes away what a rotation leaves when it is complete."""
    if record is None:
        remove_key_file(files.previous_certificate)
        remove_key_file(files.rotation)
        return
    data = _Record(
        old=record.old.text,
        new=record.new.text,
        grace=int(record.grace.total_seconds()),
        announced_at=_seconds(record.announced_at),
        switched_at=_seconds(record.switched_at),
    )
    write_key_file(files.rotation, msgspec.json.format(msgspec.json.encode(data)) + b"\n", PUBLIC_MODE)


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> int | None:
    # Rounded up: a phase that seems to have begun later only lasts longer.
    return None if moment is None else -int(-moment.timestamp() // 1)
