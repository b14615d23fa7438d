"""Makes a pack: all of it, verified, under its final name at the end, or nothing.

Network and servers are needed while it is made, and never again.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.client.checkout import check_space, tell_left_out
from outcrop.client.checkout_place import remove_tree, unfinished, unfinished_file
from outcrop.client.contents import Contents
from outcrop.client.pack.content import FileContents, RepositoryContents, StagedContents
from outcrop.client.pack.directory import WrittenImage, write_directory
from outcrop.client.pack.external_images import write_erofs, write_squashfs
from outcrop.client.pack.formats import Encoding, Format, PackForm
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.oci import Platform, write_layout_archive, write_oci_layout
from outcrop.client.pack.staging import Relocated, Relocation, stage
from outcrop.client.pack.streams import Sink, file_sink, gzip_sink, zstd_sink
from outcrop.client.pack.tar import write_tar
from outcrop.client.tree import Tree
from outcrop.errors import MissingCapability, storage_error
from outcrop.progress import SILENT, Progress

_DISK, _ARCHIVE = "this user or file system", "an archive"
"""Who cannot keep what is left out: squashfs and OCI images are made of archives, EROFS images of files."""


_STAGE = ".staged"
"""The directory in which an image's files are made ready, within what is unfinished."""


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What to make: `image` in the `form`. `owner`: files of a directory get the users that the selection names, which
    needs root. `machines`: for whom an OCI image is. `relocation`: from where else its programs are to run."""

    image: PackImage
    form: PackForm
    owner: bool = False
    machines: Platform = field(default_factory=Platform.of_this_machine)
    relocation: Relocation | None = None


def pack(
    request: PackRequest,
    tree: Tree,
    contents: Contents,
    destination: Path,
    progress: Progress = SILENT,
    tell: Callable[[str], None] = lambda _text: None,
) -> Relocated | None:
    """Makes the pack `destination`, which must not exist (or be an empty directory, where the form is one); returns
    what was relocated in it.

    A proof of the relocation is made on the files before anything is made of them. `tell` hears what the form, this
    user or file system cannot keep. `progress` advances by the bytes of files. AlreadyExists before anything is
    written; MissingCapability where a program is missing; StorageError when the disk is full; whatever fails, the proof
    included, nothing is left behind."""
    size = request.image.selection.size
    progress.start("Packing", size, "bytes")
    maker = _Maker(request, tree, contents, progress)
    if request.form.is_directory:
        with unfinished(destination) as place:
            written = maker.into_directory(place)
    else:
        with unfinished_file(destination) as place:
            written = maker.into_file(place)
    progress.finish()
    on_disk = request.form.format in (Format.DIRECTORY, Format.EROFS)
    tell_left_out(written.left_out, tell, _DISK if on_disk else _ARCHIVE)
    return written.relocated


class _Maker:
    """Makes what a request says."""

    def __init__(self, request: PackRequest, tree: Tree, contents: Contents, progress: Progress) -> None:
        self._request = request
        self._tree = tree
        self._contents = contents
        self._progress = progress

    def into_directory(self, place: Path) -> WrittenImage:
        """Fills the directory `place`."""
        request = self._request
        if request.form.format is Format.OCI:
            with self._ready(place / _STAGE) as ready:
                return WrittenImage(self._layout(ready, place), ready.relocated)
        check_space(place, request.image.selection.size)
        return write_directory(
            request.image, self._tree, self._contents, place,
            owner=request.owner, relocation=request.relocation, progress=self._progress,
        )  # fmt: skip

    def into_file(self, place: Path) -> WrittenImage:
        """Makes the file `place`, and what it needs for that beside it."""
        request = self._request
        if request.form.format is Format.EROFS:
            check_space(place.parent, 2 * request.image.selection.size)
            return write_erofs(
                request.image, self._tree, self._contents, place,
                owner=request.owner, relocation=request.relocation, progress=self._progress,
            )  # fmt: skip
        with self._ready(place.with_name(place.name + _STAGE)) as ready:
            match request.form.format:
                case Format.SQUASHFS:
                    left_out = write_squashfs(ready.image, ready.files, place, progress=ready.progress)
                case Format.OCI:
                    left_out = self._layout_archive(ready, place)
                case _:
                    left_out = self._tar(ready, place)
            return WrittenImage(left_out, ready.relocated)

    @contextmanager
    def _ready(self, stage_place: Path) -> Iterator[_Ready]:
        """The image and its files. What is relocated is made ready in `stage_place`, which goes with the block."""
        request = self._request
        if request.relocation is None:
            yield _Ready(request.image, RepositoryContents(self._tree, self._contents), None, self._progress)
            return
        try:
            check_space(stage_place.parent, 2 * request.image.selection.size)
            staged = stage(
                request.image, self._tree, self._contents, stage_place, request.relocation, self._progress
            )  # fmt: skip
            # The bytes were counted once, when they were made ready.
            yield _Ready(staged.image, StagedContents(os.fsencode(stage_place)), staged.relocated, SILENT)
        finally:
            remove_tree(stage_place)

    def _tar(self, ready: _Ready, place: Path) -> Counter[str]:
        encoding = self._request.form.encoding
        if encoding is Encoding.NONE:
            check_space(place.parent, ready.image.selection.size)
        with ExitStack() as stack:
            return write_tar(ready.image, ready.files, _tar_sink(stack, encoding, place), ready.progress)

    def _layout(self, ready: _Ready, directory: Path) -> Counter[str]:
        return write_oci_layout(ready.image, ready.files, directory, self._request.machines, ready.progress)

    def _layout_archive(self, ready: _Ready, place: Path) -> Counter[str]:
        layout = place.with_name(place.name + ".layout")
        try:
            layout.mkdir(mode=0o700)
        except OSError as error:
            raise storage_error(error) from error
        try:
            left_out = self._layout(ready, layout)
            with file_sink(place) as sink:
                write_layout_archive(layout, sink, ready.image.moment)
        finally:
            remove_tree(layout)
        return left_out


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image and the bytes of its files; `progress` hears of them when they are used."""

    image: PackImage
    files: FileContents
    relocated: Relocated | None
    progress: Progress


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
