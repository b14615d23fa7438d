"""Trying whether layers hold here: a tree of two files, one of which is in a layer of objects and one is missing."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from outcrop.client.contents import Piece
from outcrop.client.ladder.fuse_server import mount_fuse
from outcrop.client.ladder.layer_stack import Attach, Layers, enter_for, image_attached, mount_layers
from outcrop.client.ladder.namespaces import show
from outcrop.client.ladder.root_plan import RootPlan
from outcrop.client.ladder.trial import Outcome, tried
from outcrop.client.layers.erofs_image import erofs_image
from outcrop.client.layers.metadata import AttributeSpace, Inode, Listing, Metadata
from outcrop.client.layers.missing_files import MissingFiles
from outcrop.client.layers.missing_session import MissingSession
from outcrop.client.layers.objects import Needed, PlainObject
from outcrop.client.layers.planting import plant
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm
from outcrop.errors import MissingCapability

_HELD, _MISSING = b"held here", b"missing"
_OBJECTS = tuple(
    PlainObject(bytes([number]) * DIGEST_BYTES, Algorithm.SHA1, Compression.NONE, len(data), 0)
    for number, data in enumerate((_HELD, _MISSING), start=1)
)
_SAMPLE = Metadata(
    [
        Inode(stat.S_IFDIR | 0o755, nlink=2),
        *(Inode(stat.S_IFREG | 0o644, size=one.size, redirect=b"/" + one.name) for one in _OBJECTS),
    ],
    [Listing(0, 0, [b"held", b"missing"], [1, 2])],
)


class _SampleContents:
    """Contents of which the second object is all."""

    def open(self, _piece: Piece) -> int:
        descriptor = os.memfd_create("outcrop-trial", os.MFD_CLOEXEC)
        os.write(descriptor, _MISSING)
        return descriptor

    def open_cached(self, piece: Piece) -> int | None:
        return self.open(piece)

    def ensure(self, _pieces: Sequence[Piece]) -> None:
        return


def try_layers(space: AttributeSpace, plan: RootPlan) -> Outcome:
    """How it ends to show two files by layers as `plan` says, and to read them, in namespaces that end at once."""
    with tempfile.TemporaryDirectory(prefix="outcrop-trial-") as directory:
        place = Path(directory)
        held = place / "objects" / os.fsdecode(_OBJECTS[0].name)
        held.parent.mkdir(parents=True)
        held.write_bytes(_HELD)
        (place / "image").write_bytes(erofs_image(_SAMPLE))
        return tried(_work(space, plan, place))


def _work(space: AttributeSpace, plan: RootPlan, directory: Path) -> Callable[[], None]:
    metadata: Attach = (
        image_attached(directory / "image") if space is AttributeSpace.TRUSTED else lambda place: plant(_SAMPLE, place)
    )

    def missing(place: Path) -> None:
        device = mount_fuse("outcrop-trial", place)
        image = os.open(directory / "image", os.O_RDONLY | os.O_CLOEXEC)
        files = MissingFiles(Needed(_OBJECTS, ()), _SampleContents(), lambda _path: (), image=image)
        threading.Thread(target=MissingSession(device, files).run, daemon=True).start()

    def attach(place: Path) -> None:
        try:
            mount_layers(Layers(space, metadata, directory / "objects", missing), place)
            shown = (place / "held").read_bytes(), (place / "missing").read_bytes()
        except OSError as error:
            what = os.path.basename(error.filename) if isinstance(error.filename, str) else ""
            problem = f"{what}: {error.strerror}" if what else error.strerror or str(error)
            raise MissingCapability(what="layers", problem=problem) from error
        if shown != (_HELD, _MISSING):
            raise MissingCapability(what="layers", problem="overlayfs shows other bytes than those below")

    def work() -> None:
        enter_for(space)
        show(plan, attach)

    return work
