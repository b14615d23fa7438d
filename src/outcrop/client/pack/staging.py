"""An image that is relocated is made ready in a directory first: its files as the repository has them, then rewritten,
then proven, all before anything is made of them.

Relocation looks through whole files and at what stands beside them, and a proof runs a program; neither can be done to
a stream. The directory is private, and goes with whatever is unfinished.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from outcrop.client.checkout_links import file_names
from outcrop.client.checkout_writer import TreeWriter, Written
from outcrop.client.contents import Contents
from outcrop.client.pack.image import RECORD_PATH, ImageRelocation, PackImage
from outcrop.client.pack.manifest import OriginalEntry
from outcrop.client.relocate.plan import RelocationPlan, plan_relocation
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.proof import Proof, prove
from outcrop.client.relocate.reading import opened
from outcrop.client.relocate.record import RECORD_NAME, encode_record
from outcrop.client.relocate.relocation import relocate
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import InvalidValue, storage_error
from outcrop.progress import SILENT, Progress

_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Relocation:
    """A wish: an image's files run from `target` instead of the prefix `original`. If there is a `command`, it proves
    that; its output goes to the open file `output` (ours, if None)."""

    original: Prefix
    target: Prefix
    command: tuple[str, ...] = ()
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Relocated:
    """What was done: the `plan` that was carried out, and the `proof` of it, if one was asked for."""

    plan: RelocationPlan
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image whose files lie ready: the `image` as it is now, and the SHA-256 of each file by its first name."""

    image: PackImage
    digests: Mapping[RepositoryPath, str]
    relocated: Relocated


def stage(
    image: PackImage, tree: Tree, contents: Contents, place: Path, relocation: Relocation, progress: Progress = SILENT
) -> StagedImage:
    """Writes the files of `image` into the new directory `place`, relocates and proves them.

    Errors are those of fetching, of `relocate` and of `prove`."""
    try:
        place.mkdir(mode=_PRIVATE)
    except OSError as error:
        raise storage_error(error) from error
    entries = image.selection.entries
    writer = TreeWriter(
        tree, contents, os.fsencode(place), top=entries[0].path, digests=True, progress=progress
    )  # fmt: skip
    # Directories are left as they are made, open to us alone: the image has their properties from its entries.
    written = writer.write([_readable(located) for located in entries])
    return relocate_staged(image, written, place, relocation, progress)


def relocate_staged(
    image: PackImage, written: Written, place: Path, relocation: Relocation, progress: Progress = SILENT
) -> StagedImage:
    """Relocates the files of `image`, which were `written` below `place`, and proves it.

    InvalidValue if the repository has a file where the record of it would stand."""
    if any(located.path == RECORD_PATH for located in image.selection.entries):
        raise InvalidValue(
            what=f"the file {RECORD_NAME} of the repository",
            problem="stands where a relocated pack says what was changed",
            hint="the repository holds a relocated tree; pack it as it is, without `--relocate`",
        )
    plan = plan_relocation(place, relocation.original, relocation.target, progress)
    record = relocate(plan, progress)
    assert record is not None, "a target that is the original is refused"
    proof = None
    if relocation.command:
        proof = prove(
            relocation.command, relocation.original, place,
            target=relocation.target, output=relocation.output, progress=progress,
        )  # fmt: skip
    before = {located.path: located.entry for located in image.selection.entries}
    after = dict(before)
    originals: dict[RepositoryPath, OriginalEntry] = {}
    changed: dict[RepositoryPath, str] = {}
    for planned in plan.changes:
        path = RepositoryPath(b"/" + planned.change.path)
        entry = before[path]
        if entry.is_symlink:
            originals[path] = OriginalEntry(target=entry.symlink)
            target = _link_target(place, path)
            after[path] = replace(entry, symlink=target, size=len(target))
            continue
        originals[path] = OriginalEntry(entry.size, written.digests[path])
        size, changed[path] = _size_and_digest(place, path)
        for name in planned.names:
            other = RepositoryPath(b"/" + name)
            after[other] = replace(before[other], size=size)
    entries = tuple(Located(path, entry) for path, entry in after.items())
    selection = replace(image.selection, entries=entries, names=file_names(entries))
    done = ImageRelocation(relocation.original, relocation.target, originals, encode_record(record))
    return StagedImage(
        PackImage(selection, image.at, done), {**written.digests, **changed}, Relocated(plan, proof)
    )  # fmt: skip


def _readable(located: Located) -> Located:
    """A file that its owner may not read has to be looked through all the same."""
    entry = located.entry
    if not entry.is_file or entry.mode & stat.S_IRUSR:
        return located
    return located._replace(entry=replace(entry, mode=entry.mode | stat.S_IRUSR))


def _link_target(place: Path, path: RepositoryPath) -> bytes:
    try:
        return os.readlink(os.fsencode(place) + path)
    except OSError as error:
        raise storage_error(error) from error


def _size_and_digest(place: Path, path: RepositoryPath) -> tuple[int, str]:
    try:
        with opened(os.fsencode(place) + path) as data:
            return len(data), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise storage_error(error) from error
