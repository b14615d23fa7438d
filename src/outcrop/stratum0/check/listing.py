"""What lies below `data/`, one directory of it at a time, so that memory holds 1/256 of the names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from outcrop.cvmfs.objects import DATA_DIRECTORY, TEMPORARY_DIRECTORY
from outcrop.errors import storage_error
from outcrop.storage.directory import TEMPORARY_DIRECTORIES, DirectoryStore
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.references import PREFIXES


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies in one directory: files, and what is no file (`others`). Names are relative to the store's address."""

    files: frozenset[str]
    others: tuple[str, ...] = ()


class Listing(Protocol):
    """What is stored."""

    def directory(self, prefix: str) -> Stored:
        """What lies in `data/<prefix>`."""

    def elsewhere(self) -> tuple[str, ...]:
        """What lies in `data/` beside the directories of objects."""

    def leftovers(self) -> Mapping[str, int]:
        """How many files interrupted writers left below which directory."""


def listing_of(store: ReadableStore) -> Listing | None:
    """The listing of `store`; None where it offers none, as web servers do."""
    if isinstance(store, DirectoryStore):
        return _DirectoryListing(store)
    names = getattr(store, "names", None)
    return None if names is None else _NamesListing(names())


class _DirectoryListing:
    """Reads directories, which also tells files from links and directories."""

    def __init__(self, store: DirectoryStore) -> None:
        self._root = os.fsdecode(store.root)

    def directory(self, prefix: str) -> Stored:
        directory = f"{DATA_DIRECTORY}/{prefix}"
        entries = [(f"{directory}/{name}", is_file) for name, is_file in self._entries(directory)]
        files = frozenset(path for path, is_file in entries if is_file)
        return Stored(files, tuple(sorted(path for path, is_file in entries if not is_file)))

    def elsewhere(self) -> tuple[str, ...]:
        expected = {*PREFIXES, TEMPORARY_DIRECTORY.rpartition("/")[2]}
        found = sorted(name for name, is_file in self._entries(DATA_DIRECTORY) if is_file or name not in expected)
        return tuple(f"{DATA_DIRECTORY}/{name}" for name in found)

    def leftovers(self) -> Mapping[str, int]:
        found = {}
        for top in TEMPORARY_DIRECTORIES:
            directories = [top, *(f"{top}/{prefix}" for prefix in PREFIXES)]
            found[top] = sum(is_file for directory in directories for _, is_file in self._entries(directory))
        return {top: number for top, number in found.items() if number}

    def _entries(self, directory: str) -> Iterator[tuple[str, bool]]:
        try:
            with os.scandir(f"{self._root}/{directory}") as entries:
                for entry in entries:
                    yield entry.name, entry.is_file(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error) from error


class _NamesListing:
    """Sorts the names that a store gives in no order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files: dict[str, set[str]] = {prefix: set() for prefix in PREFIXES}
        self._elsewhere: list[str] = []
        self._leftovers = 0
        for name in names:
            prefix = name.removeprefix(f"{DATA_DIRECTORY}/").partition("/")[0]
            if prefix in self._files:
                self._files[prefix].add(name)
            elif name.startswith(f"{TEMPORARY_DIRECTORY}/"):
                self._leftovers += 1
            else:
                self._elsewhere.append(name)

    def directory(self, prefix: str) -> Stored:
        return Stored(frozenset(self._files[prefix]))

    def elsewhere(self) -> tuple[str, ...]:
        return tuple(sorted(self._elsewhere))

    def leftovers(self) -> Mapping[str, int]:
        return {TEMPORARY_DIRECTORY: self._leftovers} if self._leftovers else {}
