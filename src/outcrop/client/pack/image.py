"""A selection as the tree of an image: what stands where, from the image's root on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Container, Mapping
from dataclasses import dataclass

from outcrop.client.pack.manifest import OriginalEntry, PackedEntry, PackManifest, PackRelocation
from outcrop.client.pack.selection import Selection
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.record import RECORD_NAME
from outcrop.client.tree import Located
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, name
from outcrop.errors import InvalidValue

MANIFEST_PATH = RepositoryPath(b"/.outcrop-pack.json")
"""Where an image says what is in it, from its own root on."""

RECORD_PATH = RepositoryPath(b"/" + os.fsencode(RECORD_NAME))
"""Where a relocated image says what was changed, from the repository's root on."""

_PARENT_MODE = stat.S_IFDIR | 0o755
_OWN_FILE_MODE = stat.S_IFREG | 0o644


@dataclass(frozen=True, slots=True)
class ImageRelocation:
    """What relocation from the prefix `original` to `target` changed: `originals` has what the repository has of each
    changed file (by its first name) and link, `record` the bytes of the record that lies in the repository's root."""

    original: Prefix
    target: Prefix
    originals: Mapping[RepositoryPath, OriginalEntry]
    record: bytes


@dataclass(frozen=True, slots=True)
class PackImage:
    """`selection`, with the root of the repository at the path `at` of the image (`b""` for the image's own root).

    With a `relocation`, sizes and targets in the selection are those after it."""

    selection: Selection
    at: RepositoryPath
    relocation: ImageRelocation | None = None

    def __post_init__(self) -> None:
        if not self.at and any(located.path == MANIFEST_PATH for located in self.selection.entries):
            raise InvalidValue(
                what=f"the file {MANIFEST_PATH.decode()} of the repository",
                problem="stands where the image says what is in it",
                hint="put the repository elsewhere in the image, as in `--at /repository`",
            )

    @property
    def moment(self) -> int:
        """The time of everything that is the image's own: that of the repository's root, in seconds since 1970."""
        return self.selection.entries[0].entry.mtime

    @property
    def root(self) -> Entry:
        """The root of the image."""
        return self.parents()[0].entry if self.at else self.selection.entries[0].entry

    def parents(self) -> tuple[Located, ...]:
        """The directories of the image's own that lead to the repository, the image's root first."""
        return tuple(Located(path, self._own(path, _PARENT_MODE)) for path in ancestors(self.at)) if self.at else ()

    def place(self, path: RepositoryPath) -> RepositoryPath:
        """Where the entry at `path` of the repository stands in the image."""
        return RepositoryPath(self.at + path)

    def manifest_entry(self, size: int) -> Located:
        """The file of `size` bytes that says what is in the image."""
        return Located(MANIFEST_PATH, self._own(MANIFEST_PATH, _OWN_FILE_MODE, size))

    def record_entry(self, size: int) -> Located:
        """The file of `size` bytes that says what relocation changed, by its path in the image."""
        path = self.place(RECORD_PATH)
        return Located(path, self._own(path, _OWN_FILE_MODE, size))

    def _own(self, path: RepositoryPath, mode: int, size: int = 0) -> Entry:
        return Entry(name=name(path) if path != ROOT else b"", mode=mode, size=size, mtime=self.moment)


def manifest_of(
    image: PackImage, digests: Mapping[RepositoryPath, str], missing: Container[bytes] = ()
) -> PackManifest:
    """The manifest of `image`, with the SHA-256 of each file by its first name, and without what is `missing`."""
    selection, relocation = image.selection, image.relocation
    said = None
    if relocation is not None:
        digest = hashlib.sha256(relocation.record).hexdigest()
        said = PackRelocation(relocation.original, relocation.target, digest)
    originals = relocation.originals if relocation else {}
    return PackManifest(
        selection.repository,
        selection.revision,
        selection.root_catalog,
        image.at,
        selection.paths or None,
        tuple(_packed(located, selection.names.others.get(located.path), digests, originals.get(located.path))
              for located in selection.entries if located.path not in missing),
        said,
    )  # fmt: skip


def _packed(
    located: Located,
    same_file_as: RepositoryPath | None,
    digests: Mapping[RepositoryPath, str],
    original: OriginalEntry | None,
) -> PackedEntry:
    path, entry = located
    if same_file_as is not None:
        return PackedEntry(path, entry.kind, entry.permissions, same_file_as=same_file_as)
    size = entry.size if entry.is_file else 0
    return PackedEntry(
        path, entry.kind, entry.permissions, size, digests.get(path, ""), entry.symlink, original=original
    )
