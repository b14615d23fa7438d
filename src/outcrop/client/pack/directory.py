"""An image as a directory of plain files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.checkout_metadata import Metadata
from outcrop.client.checkout_writer import TreeWriter
from outcrop.client.contents import Contents
from outcrop.client.pack.image import PackImage, manifest_of
from outcrop.client.pack.staging import Relocated, Relocation, relocate_staged
from outcrop.client.tree import Tree
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import storage_error
from outcrop.progress import SILENT, Progress

_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """What was written: how often something could not be kept, by its name, and what was relocated."""

    left_out: Counter[str]
    relocated: Relocated | None = None


def write_directory(
    image: PackImage,
    tree: Tree,
    contents: Contents,
    destination: Path,
    *,
    owner: bool = False,
    relocation: Relocation | None = None,
    progress: Progress = SILENT,
) -> WrittenImage:
    """Writes `image` into the empty directory `destination`, rewritten and proven as `relocation` says.

    Files are this user's; with `owner`, which needs root, those of whom the selection names. What could not be made is
    not in the manifest either. `progress` advances by the bytes of files. StorageError where the disk is full."""
    parents = image.parents()
    place = os.fsencode(destination)
    try:
        os.makedirs(place + image.at, exist_ok=True)
    except OSError as error:
        raise storage_error(error) from error
    writer = TreeWriter(
        tree,
        contents,
        place + image.at,
        top=image.selection.entries[0].path,
        owner=owner,
        digests=True,
        progress=progress,
    )
    written = writer.write(image.selection.entries)
    digests: Mapping[RepositoryPath, str] = written.digests
    relocated = None
    if relocation is not None:
        root = Path(os.fsdecode(place + image.at))
        staged = relocate_staged(image, written, root, relocation, progress)
        image, digests, relocated = staged.image, staged.digests, staged.relocated
    manifest = manifest_of(image, digests, written.missing).encode()
    metadata = Metadata(owner=owner)
    try:
        # Before the directories are completed: the image's root may be the repository's, which may forbid writing.
        if image.relocation is not None:
            record = image.record_entry(len(image.relocation.record))
            metadata.set_path(place + record.path, record.entry)
        own = image.manifest_entry(len(manifest))
        descriptor = os.open(place + own.path, _FILE_FLAGS, 0o600)
        with open(descriptor, "wb") as file:
            file.write(manifest)
            file.flush()
            metadata.set_open_file(descriptor, own.entry)
        writer.finish()
        for parent in reversed(parents):
            metadata.set_path(place + parent.path, parent.entry)
    except OSError as error:
        raise storage_error(error, str(destination)) from error
    return WrittenImage(written.left_out, relocated)
