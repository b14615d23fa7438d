"""An image in the layout of the Open Container Initiative: one layer, a configuration, a manifest, an index.

It starts nothing by itself (no entry point), so it is meant to be copied into another image, or run with a command that
is named. Blobs are named by their SHA-256. Sources: OCI Image Format 1.0.2, image-layout.md, manifest.md, config.md.
"""

from __future__ import annotations

import hashlib
import json
import platform
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outcrop.client.pack.content import FileContents
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.streams import FILE_BUFFER_BYTES, DigestingSink, Sink, file_sink, gzip_sink
from outcrop.client.pack.tar import write_tar
from outcrop.client.pack.tar_header import TarMember, ending, header, padding
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import shown
from outcrop.errors import InvalidValue, MissingCapability, storage_error
from outcrop.progress import SILENT, Progress

TAG = "latest"
"""How the image is called in its layout. There is only one in it."""

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIGURATION_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""What Go, and so every container tool, calls what uname(2) says. Others have the same name in both."""

_WHITEOUT = b".wh."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Platform:
    """The machines that an image is for."""

    system: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`linux/amd64`, `linux/arm64/v8`; InvalidValue for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(part.isascii() and part.isalnum() for part in parts):
            raise InvalidValue(
                what=f"the platform {text!r}", problem="cannot be read", hint="write it as in `linux/amd64`"
            )
        return cls(*parts)

    @classmethod
    def of_this_machine(cls) -> Platform:
        """Linux on this machine's processor."""
        machine = platform.machine()
        return cls("linux", _ARCHITECTURES.get(machine, machine))

    @property
    def members(self) -> dict[str, str]:
        """As configurations and indexes write it."""
        members = {"architecture": self.architecture, "os": self.system}
        return members | ({"variant": self.variant} if self.variant else {})


def _check_names(image: PackImage) -> None:
    """Refuses names by which a layer says what is deleted. Source: OCI Image Specification, `layer.md`, "Whiteouts"."""
    for located in image.selection.entries:
        if located.path.rpartition(b"/")[2].startswith(_WHITEOUT):
            raise MissingCapability(
                what="making a container image",
                problem=f"the name of {shown(located.path)} says in a layer that a file was deleted",
                hint="make another format: `--format tar`",
            )


def write_oci_layout(
    image: PackImage,
    contents: FileContents,
    directory: Path,
    machines: Platform,
    progress: Progress = SILENT,
) -> Counter[str]:
    """Writes the layout of `image` into the empty directory `directory`; returns what a layer cannot hold, and how
    often. StorageError where the disk is full, MissingCapability for a name that means something else in a layer."""
    _check_names(image)
    layout = _Layout(directory)
    layer_file = layout.blobs / "layer"
    with file_sink(layer_file) as to_file:
        packed = DigestingSink(to_file)
        with gzip_sink(packed) as encoded:
            plain = DigestingSink(encoded)
            left_out = write_tar(image, contents, plain, progress)
    layer = layout.adopt(layer_file, _LAYER_TYPE, packed)
    created = _rfc3339(image.moment)
    configuration = layout.add(
        _CONFIGURATION_TYPE,
        {
            "created": created,
            **machines.members,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{plain.digest}"]},
            "history": [{"created": created, "created_by": "outcrop pack"}],
        },
    )
    selection = image.selection
    annotations = {
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.title": selection.repository,
        "org.opencontainers.image.version": str(selection.revision),
        "org.opencontainers.image.revision": selection.root_catalog.text,
        "outcrop.repository": selection.repository,
        "outcrop.revision": str(selection.revision),
        "outcrop.root-catalog": selection.root_catalog.text,
    }
    manifest = layout.add(
        _MANIFEST_TYPE,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": configuration,
            "layers": [layer],
            "annotations": annotations,
        },
    )
    reference = {
        **manifest,
        "platform": machines.members,
        "annotations": {"org.opencontainers.image.ref.name": TAG, **annotations},
    }
    layout.write("index.json", {"schemaVersion": 2, "manifests": [reference]})
    layout.write("oci-layout", _LAYOUT)
    return left_out


class _Layout:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.blobs = directory / "blobs" / "sha256"
        try:
            directory.chmod(0o755)
            for made in (self.blobs.parent, self.blobs):
                made.mkdir()
                made.chmod(0o755)
        except OSError as error:
            raise storage_error(error) from error

    def adopt(self, path: Path, media_type: str, stream: DigestingSink) -> dict[str, object]:
        """Gives the file `path`, to which `stream` was written, its name as a blob; its descriptor."""
        try:
            path.chmod(0o644)
            path.rename(self.blobs / stream.digest)
        except OSError as error:
            raise storage_error(error) from error
        return {"mediaType": media_type, "digest": f"sha256:{stream.digest}", "size": stream.size}

    def add(self, media_type: str, document: object) -> dict[str, object]:
        """Adds a document as a blob; its descriptor."""
        data = _json(document)
        digest = hashlib.sha256(data).hexdigest()
        self._write(self.blobs / digest, data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def write(self, name: str, document: object) -> None:
        self._write(self._directory / name, _json(document))

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.write_bytes(data)
            path.chmod(0o644)
        except OSError as error:
            raise storage_error(error) from error


def write_layout_archive(directory: Path, sink: Sink, moment: int) -> None:
    """Writes the layout in `directory` as a tar archive to `sink`; all times are `moment` (seconds since 1970)."""
    written = 0
    for path in sorted(directory.rglob("*"), key=lambda path: path.parts):
        for data in _member(path, path.relative_to(directory), moment):
            written += len(data)
            sink(data)
    sink(ending(written))


def _member(path: Path, name: Path, moment: int) -> Iterator[bytes]:
    encoded = str(name).encode()
    if path.is_dir():
        yield header(TarMember(encoded, Entry(name=encoded, mode=stat.S_IFDIR | 0o755, mtime=moment)))
        return
    try:
        size = path.stat().st_size
        yield header(TarMember(encoded, Entry(name=encoded, mode=stat.S_IFREG | 0o644, size=size, mtime=moment)))
        with path.open("rb") as file:
            while data := file.read(FILE_BUFFER_BYTES):
                yield data
    except OSError as error:
        raise storage_error(error) from error
    yield padding(size)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _rfc3339(moment: int) -> str:
    """A time in seconds since 1970, as configurations write it; the epoch for one that no calendar has."""
    try:
        return f"{_EPOCH + timedelta(seconds=moment):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"{_EPOCH:%Y-%m-%dT%H:%M:%SZ}"
