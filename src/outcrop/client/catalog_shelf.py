"""Open catalogs, a bounded number of them: the least recently used one is closed when another is needed.

Any number of threads may use catalogs at once; one that is in use is never closed, and while a catalog is on its way
from a server only those wait who need it. A catalog whose file has been written to, or replaced, is opened anew: that
verifies it again. One whose file is gone stays as it is, since it is held open.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from outcrop.client.catalog_file import file_of
from outcrop.client.mountpoints import Mountpoint
from outcrop.client.stamps import stamp_of_status
from outcrop.cvmfs.catalog import Catalog

MAXIMUM_OPEN_CATALOGS = 48
"""Each holds one descriptor: a fifth of `ulimit -n 256`, which leaves room for connections and files."""


@dataclass(slots=True)
class _Place:
    catalog: Catalog | None = None
    file: str = ""
    stamp: tuple[int, ...] | None = None
    users: int = 0
    opening: threading.Lock = field(default_factory=threading.Lock)


class CatalogShelf:
    """Catalogs by their mountpoints, opened by `open_catalog` when first used."""

    def __init__(self, open_catalog: Callable[[Mountpoint], Catalog], limit: int = MAXIMUM_OPEN_CATALOGS) -> None:
        self._open_catalog = open_catalog
        self._limit = limit
        self._places: OrderedDict[bytes, _Place] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, mountpoint: Mountpoint) -> Iterator[Catalog]:
        """The catalog at `mountpoint`, which stays open within the block."""
        place = self._taken(mountpoint.path)
        try:
            catalog = place.catalog
            if catalog is None or _has_changed(place):
                with place.opening:
                    if place.catalog is None or _has_changed(place):
                        # The one before is closed with its last user.
                        place.catalog = self._open_catalog(mountpoint)
                        place.file = file_of(place.catalog)
                        place.stamp = _stamp(place.file)
                    catalog = place.catalog
            yield catalog
        finally:
            self._give_back(mountpoint.path, place)

    def close(self) -> None:
        """Closes all catalogs that nobody uses."""
        with self._lock:
            self._shrink(0)

    def __len__(self) -> int:
        return len(self._places)

    def _taken(self, path: bytes) -> _Place:
        with self._lock:
            place = self._places.setdefault(path, _Place())
            self._places.move_to_end(path)
            place.users += 1
            return place

    def _give_back(self, path: bytes, place: _Place) -> None:
        with self._lock:
            place.users -= 1
            if place.catalog is None and not place.users:
                self._places.pop(path, None)
            if len(self._places) > self._limit:
                self._shrink(self._limit)

    def _shrink(self, limit: int) -> None:
        for path, place in list(self._places.items()):
            if len(self._places) <= limit:
                return
            if not place.users:
                del self._places[path]
                if place.catalog is not None:
                    place.catalog.close()


def _has_changed(place: _Place) -> bool:
    stamp = _stamp(place.file)
    return stamp is not None and stamp != place.stamp


def _stamp(file: str) -> tuple[int, ...] | None:
    """What changes when the file does; None for one that is gone, or for none."""
    try:
        return stamp_of_status(os.stat(file))
    except OSError:
        return None
