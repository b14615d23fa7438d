"""An image as a stream of a tar archive: sorted, verified, the same bytes on every machine.

The manifest is the last member, since it has the digests of the bytes before it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from outcrop.client.pack.content import FileContents, PackedFile
from outcrop.client.pack.image import PackImage, manifest_of
from outcrop.client.pack.streams import Sink
from outcrop.client.pack.tar_header import TarMember, can_hold, ending, header, padding
from outcrop.client.tree import Located
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.progress import SILENT, Progress


def write_tar(image: PackImage, contents: FileContents, sink: Sink, progress: Progress = SILENT) -> Counter[str]:
    """Writes `image` as a tar archive to `sink`; returns what an archive cannot hold, and how often.

    `progress` advances by the bytes of files. Errors are those of fetching and of `sink`."""
    writer = _TarWriter(image, contents, sink, progress)
    writer.write()
    return writer.left_out


class _TarWriter:
    def __init__(self, image: PackImage, contents: FileContents, sink: Sink, progress: Progress) -> None:
        self.left_out: Counter[str] = Counter()
        self._image = image
        self._names = image.selection.names
        self._sink = sink
        self._progress = progress
        self._written = 0
        self._files: Iterator[PackedFile] = contents.files(self._names.first)
        self._digests: dict[RepositoryPath, str] = {}

    def write(self) -> None:
        for parent in self._image.parents():
            self._put(header(TarMember(_member_name(parent.path), parent.entry)))
        missing: set[RepositoryPath] = set()
        for located in self._image.selection.entries:
            trouble = _cannot_hold(located)
            if trouble:
                self.left_out[trouble] += 1
                missing.add(located.path)
            else:
                self._write_entry(located)
        if self._image.relocation is not None:
            record = self._image.relocation.record
            self._write_own(self._image.record_entry(len(record)), record)
        manifest = manifest_of(self._image, self._digests, missing).encode()
        self._write_own(self._image.manifest_entry(len(manifest)), manifest)
        self._put(ending(self._written))

    def _write_own(self, own: Located, data: bytes) -> None:
        self._put(header(TarMember(_member_name(own.path), own.entry)))
        self._put(data)
        self._put(padding(len(data)))

    def _write_entry(self, located: Located) -> None:
        name = _member_name(self._image.place(located.path))
        first = self._names.others.get(located.path)
        if first is not None:
            self._put(header(TarMember(name, located.entry, _member_name(self._image.place(first)))))
            return
        self._put(header(TarMember(name, located.entry)))
        if located.entry.is_file:
            file = next(self._files)
            assert file.located is located, "files are fetched in the order of the entries"
            digest = hashlib.sha256()
            for data in file.data:
                digest.update(data)
                self._put(data)
            self._put(padding(located.entry.size))
            self._digests[located.path] = digest.hexdigest()
            self._progress.advance(located.entry.size)

    def _put(self, data: bytes) -> None:
        self._written += len(data)
        self._sink(data)


def _cannot_hold(located: Located) -> str:
    """Why an archive cannot have an entry; empty if it can."""
    if not can_hold(located.entry.kind):
        return f"a {located.entry.kind.name.lower()}"
    if located.entry.kind is EntryKind.SYMLINK and not located.entry.symlink:
        return "a symbolic link without a target"
    return ""


def _member_name(path: RepositoryPath) -> bytes:
    return path[1:] or b"."
