"""Where the bytes of an image's files come from: the repository, or a directory in which they were made ready."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from outcrop.client.checkout_fetch import fetched_files
from outcrop.client.checkout_writer import plain_bytes
from outcrop.client.contents import Contents
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.paths import shown
from outcrop.errors import IntegrityError, storage_error

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file, and its plain bytes, which are read once."""

    located: Located
    data: Iterable[bytes]


class FileContents(Protocol):
    """What gives an image the bytes of its files."""

    def files(self, wanted: Sequence[Located]) -> Iterator[PackedFile]:
        """The files `wanted`, in their order, each with as many bytes as its entry says."""


@dataclass(frozen=True, slots=True)
class RepositoryContents:
    """The repository's own bytes, verified; the next files are fetched while one is used."""

    tree: Tree
    contents: Contents

    def files(self, wanted: Sequence[Located]) -> Iterator[PackedFile]:
        for file in fetched_files(wanted, self.tree, self.contents):
            yield PackedFile(file.located, plain_bytes(file, self.contents))


@dataclass(frozen=True, slots=True)
class StagedContents:
    """The bytes of files below the directory `top`, in which the repository's root was made ready."""

    top: bytes

    def files(self, wanted: Sequence[Located]) -> Iterator[PackedFile]:
        for located in wanted:
            yield PackedFile(located, self._data(located))

    def _data(self, located: Located) -> Iterator[bytes]:
        left = located.entry.size
        try:
            descriptor = os.open(self.top + located.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb", buffering=0) as file:
                while data := file.read(_READ_BYTES):
                    left -= len(data)
                    yield data
        except OSError as error:
            raise storage_error(error) from error
        if left:
            raise IntegrityError(
                what=shown(located.path), problem="was changed while it was packed",
                hint="let nothing else write to the directory of the pack, and pack again",
            )  # fmt: skip
