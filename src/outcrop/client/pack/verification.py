"""Re-checks a pack against its own manifest: a directory, an archive, an image of a file system, an OCI layout, as it
is or as an archive.

Images of file systems are read by their own programs. What was relocated is read twice: its record may come behind the
files that it is about.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from outcrop.client.pack.image import MANIFEST_PATH, RECORD_PATH
from outcrop.client.pack.manifest import MAXIMUM_MANIFEST_BYTES, PackManifest
from outcrop.client.pack.reading_images import squashfs_as_tar, unpacked_erofs, unpacked_squashfs
from outcrop.client.pack.undoing import FoundRecord, Readable, record_of
from outcrop.client.pack.verdict import Observed, Verdict, verdict
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.errors import FormatError, IntegrityError, InvalidValue, MissingCapability, NotFound, storage_error
from outcrop.progress import SILENT, Progress

_READ_BYTES = 1024 * 1024
_GZIP_MAGIC, _ZSTD_MAGIC, _SQUASHFS_MAGIC, _EROFS_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"hsqs", b"\xe2\xe1\xf5\xe0"
_EROFS_OFFSET = 1024
_MAXIMUM_DOCUMENT_BYTES = 4 * 1024**2
"""What container tools accept of a manifest or configuration."""

_INDEX, _LAYOUT = "index.json", "oci-layout"
_TAR_TYPES = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.LNKTYPE: EntryKind.FILE,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.FIFOTYPE: EntryKind.FIFO,
    tarfile.CHRTYPE: EntryKind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: EntryKind.BLOCK_DEVICE,
}
_KINDS = {kind.value: kind for kind in EntryKind}

OpenBlob = Callable[[str], IO[bytes]]
"""Opens a file of an OCI layout by its name in it."""


OpenStream = Callable[[], AbstractContextManager[Readable]]
"""Opens the plain bytes of an archive, from their beginning, as often as it is asked."""


def verify_pack(path: Path, progress: Progress = SILENT) -> Verdict:
    """What is in the pack `path`, compared with its manifest. `progress` advances by the bytes of files.

    NotFound where there is nothing, InvalidValue for what is no pack, MissingCapability where the program is missing
    that reads it, FormatError and IntegrityError for an archive, image or layout that is damaged."""
    progress.start("Checking", None, "bytes")
    try:
        if path.is_dir():
            found = _in_directory(path, progress)
        elif path.exists():
            found = _in_file(path, progress)
        else:
            raise NotFound(what=f"the pack {path}", hint="check the path")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(what=str(path), field="the archive", problem=f"is damaged ({error})") from error
    except OSError as error:
        raise storage_error(error) from error
    progress.finish()
    return found


def _in_directory(path: Path, progress: Progress, *, names_may_be_copies: bool = False) -> Verdict:
    if (path / _LAYOUT).is_file() and (path / _INDEX).is_file():
        return _in_layout(lambda name: (path / name).open("rb"), progress)
    manifest = path / os.fsdecode(MANIFEST_PATH[1:])
    if not manifest.is_file():
        raise _no_manifest(str(path))
    with manifest.open("rb") as file:
        said = PackManifest.parse(file.read(MAXIMUM_MANIFEST_BYTES))
    top = os.fsencode(path)
    observed = _observed_files(top, progress)
    if names_may_be_copies:
        observed = {name: replace(found, identity=found.sha256) for name, found in observed.items()}
    record = record_of(_records(top, observed), said)
    if record is not None:
        _undo_files(top, record, observed)
    return verdict(said, observed, record)


def _undo_files(top: bytes, record: FoundRecord, observed: dict[RepositoryPath, Observed]) -> None:
    """Adds to what was `observed` what the entries were before they were relocated."""
    for path, found in _relocated(observed, record):
        if found.kind is EntryKind.SYMLINK:
            observed[path] = replace(found, undone=record.undone_target(path, found.target))
        else:
            with open(top + path, "rb") as file:
                observed[path] = replace(found, undone=record.undone_digest(path, file))


def _records(top: bytes, observed: Mapping[RepositoryPath, Observed]) -> dict[RepositoryPath, bytes]:
    records = {}
    for path, found in observed.items():
        if _is_record(path) and found.kind is EntryKind.FILE:
            with open(top + path, "rb") as file:
                records[path] = file.read(MAXIMUM_MANIFEST_BYTES)
    return records


def _is_record(path: RepositoryPath) -> bool:
    return path.endswith(RECORD_PATH)


def _observed_files(top: bytes, progress: Progress) -> dict[RepositoryPath, Observed]:
    observed: dict[RepositoryPath, Observed] = {}
    digests: dict[tuple[int, int], str] = {}
    waiting = [ROOT]
    while waiting:
        path = waiting.pop()
        status = os.lstat(top + path)
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        identity = (status.st_dev, status.st_ino)
        if kind is EntryKind.FILE and identity not in digests:
            with open(top + path, "rb") as file:
                digests[identity] = _digest(file, progress)
        observed[path] = Observed(
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_size,
            digests.get(identity, ""),
            os.readlink(top + path) if kind is EntryKind.SYMLINK else b"",
            identity,
        )
        if kind is EntryKind.DIRECTORY:
            waiting += [RepositoryPath(path + b"/" + name) for name in os.listdir(top + path)]
    return observed


def _in_file(path: Path, progress: Progress) -> Verdict:
    with path.open("rb") as file:
        start = file.read(_EROFS_OFFSET + len(_EROFS_MAGIC))
        file.seek(0)
        if start.startswith(_SQUASHFS_MAGIC):
            return _in_squashfs(path, progress)
        if start[_EROFS_OFFSET:] == _EROFS_MAGIC:
            with unpacked_erofs(path) as directory:
                # Not every version of the program makes names of one file names of one file again.
                return _in_directory(directory, progress, names_may_be_copies=True)
        if not start.startswith((_GZIP_MAGIC, _ZSTD_MAGIC)):
            with tarfile.open(fileobj=file, mode="r:") as archive:
                if _LAYOUT in archive.getnames()[-3:]:
                    return _in_layout(lambda name: _member(archive, name), progress)
    return _in_archive(lambda: _plain(path, start), str(path), progress)


def _in_squashfs(path: Path, progress: Progress) -> Verdict:
    arguments = squashfs_as_tar(path)
    if arguments is not None:
        return _in_archive(lambda: _said_by(arguments, str(path), "the squashfs image"), str(path), progress)
    with unpacked_squashfs(path) as directory:
        return _in_directory(directory, progress)


@contextmanager
def _said_by(arguments: Sequence[str], what: str, field: str) -> Iterator[Readable]:
    """The bytes that a program says. FormatError for `field` of `what` where it fails."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process.stdout
        process.stdout.read()
    if process.returncode:
        raise FormatError(what=what, field=field, problem="is damaged")


@contextmanager
def _plain(path: Path, start: bytes) -> Iterator[Readable]:
    """The bytes of the archive at `path`, which begins with `start`, uncompressed."""
    if start.startswith(_ZSTD_MAGIC):
        program = shutil.which("zstd")
        if program is None:
            raise MissingCapability(what="reading zstd", problem="the program zstd is not installed", hint="install it")
        with _said_by([program, "-dcq", "--", str(path)], "the archive", "the zstd stream") as plain:
            yield plain
        return
    with path.open("rb") as file:
        if start.startswith(_GZIP_MAGIC):
            with gzip.GzipFile(fileobj=file) as plain:
                yield plain
        else:
            yield file


def _in_archive(stream: OpenStream, what: str, progress: Progress) -> Verdict:
    observed: dict[RepositoryPath, Observed] = {}
    records: dict[RepositoryPath, bytes] = {}
    manifest: PackManifest | None = None
    for archive, member in _members(stream):
        path = _image_path(member.name)
        data: Readable | None = archive.extractfile(member) if member.isreg() else None
        if data is not None and path == MANIFEST_PATH:
            manifest = PackManifest.parse(data.read(MAXIMUM_MANIFEST_BYTES))
            data = None
        elif data is not None and _is_record(path):
            records[path] = data.read(MAXIMUM_MANIFEST_BYTES)
            data = io.BytesIO(records[path])
        observed[path] = _observed_member(member, path, data, progress)
    if manifest is None:
        raise _no_manifest(what)
    record = record_of(records, manifest)
    if record is not None:
        _undo_members(stream, record, observed)
    return verdict(manifest, observed, record)


def _undo_members(stream: OpenStream, record: FoundRecord, observed: dict[RepositoryPath, Observed]) -> None:
    """Adds to what was `observed` what the entries were before they were relocated."""
    changed = dict(_relocated(observed, record))
    for archive, member in _members(stream):
        path = _image_path(member.name)
        found = changed.get(path)
        if found is None:
            continue
        if found.kind is EntryKind.SYMLINK:
            observed[path] = replace(found, undone=record.undone_target(path, found.target))
        elif data := archive.extractfile(member):
            observed[path] = replace(found, undone=record.undone_digest(path, data))


def _members(stream: OpenStream) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of an archive, in order; each can be read until the next one is asked for."""
    with (
        stream() as file,
        tarfile.open(fileobj=file, mode="r|", encoding="utf-8", errors="surrogateescape") as archive,  # type: ignore[call-overload]
    ):
        for member in archive:
            yield archive, member


def _relocated(
    observed: Mapping[RepositoryPath, Observed], record: FoundRecord
) -> list[tuple[RepositoryPath, Observed]]:
    """The files and links among `observed` that `record` says were changed."""
    wanted = (EntryKind.FILE, EntryKind.SYMLINK)
    return [(path, observed[path]) for path in record.changes if path in observed and observed[path].kind in wanted]


def _observed_member(
    member: tarfile.TarInfo, path: RepositoryPath, data: Readable | None, progress: Progress
) -> Observed:
    """What the member for `path` is; `data` are its bytes, if they matter."""
    kind = _TAR_TYPES.get(member.type)
    if kind is None:
        raise FormatError(what="the archive", field=member.name, problem="is of a kind that no pack has")
    if member.islnk():
        return Observed(kind, member.mode, identity=_image_path(member.linkname))
    target = os.fsencode(member.linkname) if member.issym() else b""
    digest = "" if data is None else _digest(data, progress)
    return Observed(kind, member.mode, member.size, digest, target, path)


def _image_path(name: str) -> RepositoryPath:
    plain = name.encode("utf-8", "surrogateescape").strip(b"/")
    return ROOT if plain in (b"", b".") else RepositoryPath(b"/" + plain.removeprefix(b"./"))


def _in_layout(open_blob: OpenBlob, progress: Progress) -> Verdict:
    with open_blob(_INDEX) as file:
        index = _document(file)
    with _checked(open_blob, _only(index, "manifests")) as file:
        manifest = _document(file)
    with _checked(open_blob, _descriptor(manifest.get("config"))):
        pass
    layer = _only(manifest, "layers")

    @contextmanager
    def plain_layer() -> Iterator[Readable]:
        with _checked(open_blob, layer) as file, gzip.GzipFile(fileobj=file) as plain:
            yield plain

    return _in_archive(plain_layer, "the layer", progress)


@contextmanager
def _checked(open_blob: OpenBlob, descriptor: dict[str, object]) -> Iterator[IO[bytes]]:
    """The blob that `descriptor` names, at its beginning. All of it is digested before any of it is believed."""
    with open_blob(_blob_name(descriptor)) as file:
        if descriptor.get("digest") != f"sha256:{_digest(file, SILENT)}":
            raise IntegrityError(what=f"the blob {descriptor.get('digest')}", problem="its bytes have another digest")
        file.seek(0)
        yield file


def _blob_name(descriptor: dict[str, object]) -> str:
    algorithm, _, digest = str(descriptor.get("digest")).partition(":")
    if algorithm != "sha256" or not digest.isalnum():
        raise FormatError(what="the OCI layout", field="a digest", problem=f"is {descriptor.get('digest')!r:.80}")
    return f"blobs/sha256/{digest}"


def _document(file: IO[bytes]) -> dict[str, object]:
    try:
        document = json.loads(file.read(_MAXIMUM_DOCUMENT_BYTES))
    except ValueError as error:
        raise FormatError(what="the OCI layout", field="a document", problem=f"is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise FormatError(what="the OCI layout", field="a document", problem="is no JSON object")
    return document


def _only(document: dict[str, object], member: str) -> dict[str, object]:
    listed = document.get(member)
    if not isinstance(listed, list) or len(listed) != 1:
        raise FormatError(what="the OCI layout", field=f"`{member}`", problem="does not have exactly one member")
    return _descriptor(listed[0])


def _descriptor(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise FormatError(what="the OCI layout", field="a descriptor", problem="is no JSON object")
    return value


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise NotFound(what=f"the file {name} of the OCI layout", hint="the archive is not complete; make it again")
    return file


def _digest(file: Readable, progress: Progress) -> str:
    state = hashlib.sha256()
    while data := file.read(_READ_BYTES):
        state.update(data)
        progress.advance(len(data))
    return state.hexdigest()


def _no_manifest(what: str) -> InvalidValue:
    return InvalidValue(
        what=what, problem="is no pack: it has no .outcrop-pack.json", hint="`outcrop pack` makes one; check the path"
    )
