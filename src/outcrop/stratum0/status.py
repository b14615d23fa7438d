"""`.cvmfs_status.json`: when something was last done to a repository, for whoever watches it from outside.

    {"last_gc": "Sat Nov 21 02:11:57 UTC 2026", "last_snapshot": "Sat Nov 21 02:00:02 UTC 2026"}

Dates are as `date --utc` writes them. The reference's publisher and its replicas write the same file.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from outcrop.cvmfs.objects import STATUS_NAME
from outcrop.errors import NotFound
from outcrop.storage.interface import WritableStore

_LAST_GC = "last_gc"


def note_collection(store: WritableStore, now: int) -> None:
    """Notes that garbage was collected at `now`, in seconds since 1970; what else the file says stays."""
    store.replace(STATUS_NAME, msgspec.json.encode(_status(store) | {_LAST_GC: _date(now)}) + b"\n")


def _status(store: WritableStore) -> dict[str, str]:
    """What the file says; nothing where there is none, or something else in its place."""
    try:
        return msgspec.json.decode(store.read(STATUS_NAME), type=dict[str, str])
    except (NotFound, msgspec.DecodeError):
        return {}


def _date(now: int) -> str:
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S UTC %Y}"
