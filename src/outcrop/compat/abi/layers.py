"""What breaks when one layer takes another's place: in the layer itself, and in what was built on top of it.

Only libraries that are not the same in both are compared, so an update costs what it changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.compat.abi.compare import Break, breaks
from outcrop.compat.abi.symbols import Interface, interface_of
from outcrop.compat.record import LINK, digests
from outcrop.compat.relocate.elf_image import MAGIC
from outcrop.errors import FormatError, storage_error


class LayerFiles(Protocol):
    """The files of a layer, wherever it is. Paths are relative to it."""

    def digests(self) -> Mapping[str, str]:
        """What tells whether a file or link is the same, by its path."""

    def read(self, path: str) -> bytes:
        """The contents of a file."""


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """The files of the layer in the directory `tree`."""

    tree: Path

    def digests(self) -> Mapping[str, str]:
        return digests(self.tree)

    def read(self, path: str) -> bytes:
        try:
            return (self.tree / path).read_bytes()
        except OSError as error:
            raise storage_error(error) from error


@dataclass(frozen=True, slots=True)
class InterfaceReport:
    """The names of the libraries that are not the same, how many files were looked at, and what breaks."""

    libraries: tuple[str, ...]
    users: int
    breaks: tuple[Break, ...]


def compare_layers(old: LayerFiles, new: LayerFiles, on_top: Mapping[str, Interface]) -> InterfaceReport:
    """What of the `new` layer's own files, and of those `on_top` of the old one, by path, breaks when it takes the
    place of the `old` one. What reading files raises."""
    before, after = old.digests(), new.digests()
    gone = _libraries(old, before, after)
    come = _libraries(new, after, before)
    if not gone:
        return InterfaceReport((), 0, ())
    files = (path for path, digest in after.items() if not digest.startswith(LINK))
    own = {path: found for path in files if (found := dynamic_interface(new.read(path))) is not None}
    users = {**own, **on_top}
    names = sorted({one.soname for one in (*gone.values(), *come.values())})
    return InterfaceReport(tuple(names), len(users), breaks(gone, come, users))


def interfaces_below(directory: Path) -> dict[str, Interface]:
    """The interfaces of all programs and libraries below `directory`, by their paths in it. StorageError."""
    found: dict[str, Interface] = {}
    try:
        for place, _, names in os.walk(directory):
            for name in names:
                path = Path(place, name)
                if path.is_file() and not path.is_symlink():
                    interface = dynamic_interface(path.read_bytes())
                    if interface is not None:
                        found[str(path.relative_to(directory))] = interface
    except OSError as error:
        raise storage_error(error) from error
    return found


def dynamic_interface(data: bytes) -> Interface | None:
    """The interface of a file that the loader would take; None for every other file."""
    if not data.startswith(MAGIC):
        return None
    try:
        return interface_of(data)
    except FormatError:
        return None


def _libraries(files: LayerFiles, digests: Mapping[str, str], others: Mapping[str, str]) -> dict[str, Interface]:
    """The interfaces of the libraries that are not the same among `others`."""
    found: dict[str, Interface] = {}
    for path, digest in digests.items():
        if ".so" in path and digest != others.get(path) and not digest.startswith(LINK):
            interface = dynamic_interface(files.read(path))
            if interface is not None and interface.soname:
                found[path] = interface
    return found
