"""The client's cache: content-addressed, shared by processes, bounded, in the layout of the reference's alien cache."""

from __future__ import annotations

from outcrop.client.cache.layout import TRANSACTION
from outcrop.client.cache.members import ABSENT_SECONDS as STALE_SECONDS
from outcrop.client.cache.store import Cache, unwritable

__all__ = ["STALE_SECONDS", "TRANSACTION", "Cache", "unwritable"]
