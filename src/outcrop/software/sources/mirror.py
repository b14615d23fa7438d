"""A mirror of source files, laid out as EasyBuild's source path: `<letter>/<Name>/<file>`.

A file counts only with one of the digests that its easyconfig names; it is verified every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.errors import InvalidValue, storage_error
from outcrop.software.plan import WantedFile

PARTIAL = ".partial"
"""The directory in a mirror for unfinished downloads."""


class FileState(Enum):
    """Where a wanted file stands before anything is fetched."""

    PRESENT = "in the mirror"
    BESIDE = "with the easyconfig"
    MISSING = "missing"
    WRONG = "in the mirror with another checksum"
    UNPROVABLE = "without a SHA-256 in its easyconfig"


@dataclass(frozen=True, slots=True)
class ShelvedFile:
    """A wanted file, its place in the mirror, and how it stands there."""

    wanted: WantedFile
    path: Path
    state: FileState

    @property
    def must_be_fetched(self) -> bool:
        return self.state in (FileState.MISSING, FileState.WRONG)


def survey(files: Iterable[WantedFile], mirror: Path) -> tuple[ShelvedFile, ...]:
    """How each of `files` stands in `mirror`, each place once.

    Raises InvalidValue when two easyconfigs want different files at the same place, StorageError when the mirror
    cannot be read.
    """
    places: dict[Path, WantedFile] = {}
    for wanted in files:
        path = mirror / wanted.shelf / wanted.name
        before = places.setdefault(path, wanted)
        if before.sha256 and wanted.sha256 and not set(before.sha256) & set(wanted.sha256):
            raise InvalidValue(
                what=f"the source {wanted.shelf}/{wanted.name}",
                problem="is wanted with different checksums by two easyconfigs",
                hint="build them from separate easystacks, with a mirror each",
            )
    return tuple(ShelvedFile(wanted, path, _state(wanted, path)) for path, wanted in places.items())


def _state(wanted: WantedFile, path: Path) -> FileState:
    if not wanted.sha256:
        return FileState.UNPROVABLE
    if wanted.beside and _digest(Path(wanted.beside)) in wanted.sha256:
        return FileState.BESIDE
    digest = _digest(path)
    if digest is None:
        return FileState.MISSING
    return FileState.PRESENT if digest in wanted.sha256 else FileState.WRONG


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, str(path)) from error
