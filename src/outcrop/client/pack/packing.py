"""Makes a pack: all of it, verified, under its final name at the end, or nothing.

Network and servers are needed while it is made, and never again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.client.checkout import check_space, tell_left_out
from outcrop.client.checkout_place import remove_tree, unfinished, unfinished_file
from outcrop.client.contents import Contents
from outcrop.client.pack.directory import write_directory
from outcrop.client.pack.external_images import write_erofs, write_squashfs
from outcrop.client.pack.formats import Encoding, Format, PackForm
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.oci import Platform, write_layout_archive, write_oci_layout
from outcrop.client.pack.streams import Sink, file_sink, gzip_sink, zstd_sink
from outcrop.client.pack.tar import write_tar
from outcrop.client.tree import Tree
from outcrop.errors import MissingCapability, storage_error
from outcrop.progress import SILENT, Progress

_DISK, _ARCHIVE = "this user or file system", "an archive"
"""Who cannot keep what is left out: squashfs and OCI images are made of archives, EROFS images of files."""


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What to make: `image` in the `form`. `owner`: files of a directory get the users that the selection names, which
    needs root. `machines`: for whom an OCI image is."""

    image: PackImage
    form: PackForm
    owner: bool = False
    machines: Platform = field(default_factory=Platform.of_this_machine)


def pack(
    request: PackRequest,
    tree: Tree,
    contents: Contents,
    destination: Path,
    progress: Progress = SILENT,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Makes the pack `destination`, which must not exist (or be an empty directory, where the form is one).

    `tell` hears what the form, this user or file system cannot keep. `progress` advances by the bytes of files.
    AlreadyExists before anything is written; MissingCapability where a program is missing; StorageError when the disk
    is full; whatever fails, nothing is left behind."""
    size = request.image.selection.size
    progress.start("Packing", size, "bytes")
    if request.form.is_directory:
        with unfinished(destination) as place:
            left_out = _into_directory(request, tree, contents, place, progress)
    else:
        with unfinished_file(destination) as place:
            left_out = _into_file(request, tree, contents, place, progress)
    progress.finish()
    on_disk = request.form.format in (Format.DIRECTORY, Format.EROFS)
    tell_left_out(left_out, tell, _DISK if on_disk else _ARCHIVE)


def _into_directory(
    request: PackRequest, tree: Tree, contents: Contents, place: Path, progress: Progress
) -> Counter[str]:
    if request.form.format is Format.OCI:
        return write_oci_layout(request.image, tree, contents, place, request.machines, progress)
    check_space(place, request.image.selection.size)
    return write_directory(request.image, tree, contents, place, owner=request.owner, progress=progress)


def _into_file(request: PackRequest, tree: Tree, contents: Contents, place: Path, progress: Progress) -> Counter[str]:
    image, form = request.image, request.form
    match form.format:
        case Format.SQUASHFS:
            return write_squashfs(image, tree, contents, place, progress=progress)
        case Format.EROFS:
            check_space(place.parent, 2 * image.selection.size)
            return write_erofs(image, tree, contents, place, owner=request.owner, progress=progress)
        case Format.OCI:
            return _oci_archive(request, tree, contents, place, progress)
        case _:
            if form.encoding is Encoding.NONE:
                check_space(place.parent, image.selection.size)
            with ExitStack() as stack:
                return write_tar(image, tree, contents, _tar_sink(stack, form.encoding, place), progress)


def _tar_sink(stack: ExitStack, encoding: Encoding, place: Path) -> Sink:
    if encoding is Encoding.ZSTD:
        program = shutil.which("zstd")
        if program is None:
            raise MissingCapability(
                what="compressing with zstd", problem="the program zstd is not installed",
                hint="install it, or choose another suffix: `-o X.tar.gz`",
            )  # fmt: skip
        return stack.enter_context(zstd_sink(program, place))
    sink = stack.enter_context(file_sink(place))
    return stack.enter_context(gzip_sink(sink)) if encoding is Encoding.GZIP else sink


def _oci_archive(request: PackRequest, tree: Tree, contents: Contents, place: Path, progress: Progress) -> Counter[str]:
    layout = place.with_name(place.name + ".layout")
    try:
        layout.mkdir(mode=0o700)
    except OSError as error:
        raise storage_error(error) from error
    try:
        left_out = write_oci_layout(request.image, tree, contents, layout, request.machines, progress)
        with file_sink(place) as sink:
            write_layout_archive(layout, sink, request.image.moment)
    finally:
        remove_tree(layout)
    return left_out
