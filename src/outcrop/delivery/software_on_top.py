"""What programs and libraries on top of a layer need, read from a repository that has them.

A stack has many files, and most of them stay what they are: what was found in one is kept by its digest, so the next
comparison reads only what is new.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from outcrop.client.repository import OpenRepository
from outcrop.client.tree import Located
from outcrop.compat.abi.layers import dynamic_interface
from outcrop.compat.abi.symbols import Interface
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.delivery.published_layers import contents_at
from outcrop.progress import SILENT, Progress
from outcrop.whole_file import write_whole_file

_FORMAT = "1"
"""Goes into the name of what is kept: another Outcrop may find more in a file."""


def interfaces_in(
    repository: OpenRepository, path: RepositoryPath, kept: Path, progress: Progress = SILENT
) -> dict[str, Interface]:
    """The interfaces of all programs and libraries below `path`, by their paths in the repository; none where there is
    nothing. The directory `kept` remembers them. What reading the repository raises; StorageError."""
    found: dict[str, Interface] = {}
    if repository.tree.lookup(path) is None:
        return found
    progress.start("Software on top", None, "files")
    for located in repository.tree.walk(path):
        if not _may_be_loaded(located):
            continue
        progress.advance(1, os.fsdecode(located.path))
        interface = _interface(repository, located, kept)
        if interface is not None:
            found[shown(located.path)] = interface
    progress.finish()
    return found


def _may_be_loaded(located: Located) -> bool:
    entry = located.entry
    return entry.is_file and (bool(entry.permissions & 0o111) or b".so" in entry.name)


def _interface(repository: OpenRepository, located: Located, kept: Path) -> Interface | None:
    pieces = repository.tree.pieces(located.path, located.entry)
    name = hashlib.sha256(repr((_FORMAT, [str(piece.object) for piece in pieces])).encode()).hexdigest()
    place = kept / name[:2] / name
    try:
        return msgspec.msgpack.decode(place.read_bytes(), type=Interface | None)
    except (OSError, msgspec.DecodeError):
        interface = dynamic_interface(contents_at(repository, located.path))
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole_file(place, msgspec.msgpack.encode(interface))
    return interface
