"""An image as a directory of plain files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from outcrop.client.checkout_metadata import Metadata
from outcrop.client.checkout_writer import TreeWriter
from outcrop.client.contents import Contents
from outcrop.client.pack.image import MANIFEST_PATH, PackImage, manifest_of
from outcrop.client.tree import Tree
from outcrop.errors import storage_error
from outcrop.progress import SILENT, Progress

_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_directory(
    image: PackImage,
    tree: Tree,
    contents: Contents,
    destination: Path,
    *,
    owner: bool = False,
    progress: Progress = SILENT,
) -> Counter[str]:
    """Writes `image` into the empty directory `destination`; returns what this user or file system cannot keep, and how
    often.

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
    manifest = manifest_of(image, written.digests, written.missing).encode()
    metadata = Metadata(owner=owner)
    try:
        # Before the directories are completed: the image's root may be the repository's, which may forbid writing.
        descriptor = os.open(place + MANIFEST_PATH, _FILE_FLAGS, 0o600)
        with open(descriptor, "wb") as file:
            file.write(manifest)
            file.flush()
            metadata.set_open_file(descriptor, image.manifest_entry(len(manifest)).entry)
        writer.finish()
        for parent in reversed(parents):
            metadata.set_path(place + parent.path, parent.entry)
    except OSError as error:
        raise storage_error(error, str(destination)) from error
    return written.left_out
