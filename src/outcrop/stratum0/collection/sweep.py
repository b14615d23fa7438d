"""The second half of garbage collection: what the store has and nobody marked, found, measured and removed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from outcrop.cvmfs.object_keys import ObjectKey, key_at, key_kind, key_path
from outcrop.cvmfs.objects import ObjectKind
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.collection.object_set import SHARDS, ObjectSet

REMOVERS = 4
"""How many objects are removed at once. A file system waits for its journal: four threads were two to four times as
fast as one (ext4)."""


@runtime_checkable
class MeasuredStore(Protocol):
    """A store that knows how large its objects are without reading them."""

    def size(self, name: str) -> int:
        """How many bytes the object has; 0 for one that is not there."""


@runtime_checkable
class BatchStore(Protocol):
    """A store that removes many objects at once faster than one by one."""

    def remove_many(self, names: Iterable[str]) -> None:
        """Takes objects away, in the order of `names`; those that are not there are no error."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How many objects of one kind go. `bytes` is what they take in the store, None where it cannot tell."""

    kind: ObjectKind
    objects: int
    bytes: int | None


def find_garbage(
    store: WritableStore,
    marked: ObjectSet,
    garbage: ObjectSet,
    *,
    workspace: Path | None = None,
    progress: Progress = SILENT,
) -> int:
    """Takes all that is in `store` and not in `marked` into `garbage`.

    Returns how many names in the store are no object's: what nobody knows is left alone."""
    strange = 0

    def listed() -> Iterator[ObjectKey]:
        nonlocal strange
        for path in store.names():
            key = key_at(path)
            if key is None:
                strange += 1
            else:
                yield key

    progress.start("listing", None, "objects")
    with ObjectSet(workspace) as present:
        present.update(listed())
        for there, needed in zip(present.shards(), marked.shards(), strict=True):
            garbage.update(there - needed)
            progress.advance(len(there))
    progress.finish()
    return strange


def measured(store: WritableStore, garbage: ObjectSet, *, progress: Progress = SILENT) -> tuple[Removal, ...]:
    """What goes, by kind, the most numerous first."""
    objects: dict[ObjectKind, int] = {}
    sizes: dict[ObjectKind, int] = {}
    size: Callable[[str], int] | None = store.size if isinstance(store, MeasuredStore) else None
    progress.start("measuring", None, "objects")
    for shard in garbage.shards():
        for key in shard:
            kind = key_kind(key)
            objects[kind] = objects.get(kind, 0) + 1
            if size is not None:
                sizes[kind] = sizes.get(kind, 0) + size(key_path(key))
        progress.advance(len(shard))
    progress.finish()
    by_number = sorted(objects, key=lambda kind: (-objects[kind], kind.value))
    return tuple(Removal(kind, objects[kind], None if size is None else sizes[kind]) for kind in by_number)


def sweep(
    store: WritableStore, garbage: ObjectSet, roots: Collection[ObjectKey], *, progress: Progress = SILENT
) -> None:
    """Removes all of `garbage`; of it `roots` first, then other catalogs, then the rest.

    A sweep that is cut short thus never leaves a root catalog whose tree has holes."""
    first = frozenset(roots)
    stages: tuple[Callable[[set[ObjectKey]], set[ObjectKey]], ...] = (
        lambda shard: shard & first,
        lambda shard: {key for key in shard - first if key_kind(key) is ObjectKind.CATALOG},
        lambda shard: {key for key in shard - first if key_kind(key) is not ObjectKind.CATALOG},
    )
    for chosen in stages:
        _remove(store, garbage, chosen, progress)


def _remove(
    store: WritableStore,
    garbage: ObjectSet,
    chosen: Callable[[set[ObjectKey]], set[ObjectKey]],
    progress: Progress,
) -> None:
    """Removes what is `chosen` of each shard, several shards at once."""
    stopped = threading.Event()

    def remove_shard(number: int) -> int:
        paths = [key_path(key) for key in sorted(chosen(garbage.shard(number)))]
        if isinstance(store, BatchStore):
            store.remove_many(paths)
            return len(paths)
        for path in paths:
            if stopped.is_set():
                break
            store.remove(path)
        return len(paths)

    with ThreadPoolExecutor(REMOVERS, "sweep") as pool:
        try:
            for removed in pool.map(remove_shard, range(SHARDS)):
                progress.advance(removed)
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
