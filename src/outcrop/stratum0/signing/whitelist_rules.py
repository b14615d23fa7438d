"""What a whitelist has to say, and how long it still holds. Values in, decisions out."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import InvalidValue
from outcrop.stratum0.signing.rotation_record import RotationRecord

SOON = timedelta(days=2)
"""What is published within the last two days of a whitelist may reach replicas and readers after it has expired, and a
weekend passes before anybody signs another."""

WARN_BEFORE = timedelta(days=14)
"""Time enough to find whoever has the master key."""

_HOURS_ARE_TOLD_BELOW = timedelta(days=2)


def required_fingerprints(own: Digest, rotation: RotationRecord | None, now: datetime) -> tuple[Digest, ...]:
    """What every whitelist of ours lists: our certificate, and during a rotation the one before or after it."""
    return tuple(dict.fromkeys((own, *(rotation.required(now) if rotation is not None else ()))))


def fingerprints_to_list(
    own: Digest,
    rotation: RotationRecord | None,
    published: Whitelist | None,
    now: datetime,
    drop: Collection[Digest] = (),
) -> tuple[Digest, ...]:
    """The fingerprints of the next whitelist: those required, then those of other publishers in the `published` one.

    InvalidValue if `drop` names one that is required, or one that is not there."""
    required = required_fingerprints(own, rotation, now)
    outgoing = {rotation.old, rotation.new} if rotation is not None else set()
    others = tuple(one for one in (published.fingerprints if published else ()) if one not in {*required, *outgoing})
    for one in drop:
        if one in required:
            raise InvalidValue(
                what=f"the fingerprint {one}",
                problem="is that of our own certificate",
                hint="to replace the signing key, type `outcrop repo rotate`",
            )
        if one not in others:
            raise InvalidValue(what=f"the fingerprint {one}", problem="is not on the published whitelist")
    return (*required, *[one for one in others if one not in drop])


def time_left(whitelist: Whitelist, now: datetime) -> str:
    """How long `whitelist` holds, in words: `expires in 9 days, on 2026-12-21 at 12:00 UTC`."""
    return remaining(whitelist.expires, now)


def remaining(end: datetime, now: datetime) -> str:
    """When `end` is, in words that follow a name."""
    moment = f"on {end:%Y-%m-%d at %H:%M} UTC"
    left = end - now
    if left <= timedelta(0):
        return f"expired {moment}"
    if left < _HOURS_ARE_TOLD_BELOW:
        return f"expires in {counted(int(left.total_seconds()) // 3600, 'hour')}, {moment}"
    return f"expires in {counted(left.days, 'day')}, {moment}"


def counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
