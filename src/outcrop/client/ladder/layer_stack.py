"""Putting layers together with overlayfs, in a mount namespace of our own.

    lowerdir=[missing/entries:]metadata::objects::missing/files

Overlayfs shows the names and attributes of the first layer. What is behind `::` shows nowhere by itself: only the
attribute `redirect` of a file leads there, and is looked up when the file is opened, in one layer after the other. All
layers are mounted below a directory in memory that nobody sees: overlayfs keeps its own hold of them, so what remains
in the namespace is one mount.

Sources: the kernel's `Documentation/filesystems/overlayfs.rst` ("Data-only lower layers"), open_tree(2), move_mount(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.namespaces import enter_namespaces, enter_user_namespace
from outcrop.client.ladder.system_calls import MountFlag, bind, detach, mount
from outcrop.client.layers.metadata import DATA_NAME, ENTRIES_NAME, IMAGE_NAME, AttributeSpace
from outcrop.client.mount.kernel import raise_read_ahead

Attach = Callable[[Path], None]
"""Mounts something at the path it is given."""

_METADATA, _OBJECTS, _MISSING, _TOGETHER = "metadata", "objects", "missing", "together"
_OPTIONS = {AttributeSpace.TRUSTED: "metacopy=on", AttributeSpace.USER: "userxattr"}
_FLAGS = MountFlag.READ_ONLY | MountFlag.NO_SUID | MountFlag.NO_DEVICES
_OPEN_TREE, _MOVE_MOUNT = 428, 429
"""The same numbers on every architecture (since Linux 5.2)."""
_OPEN_TREE_CLONE, _MOVE_MOUNT_EMPTY_PATH, _MOVE_MOUNT_BENEATH = 1, 4, 0x200
_HERE = -100


@dataclass(frozen=True, slots=True)
class Layers:
    """What to put together: `missing` and then `metadata` attach theirs, `objects` is the root of a cache. `space` is
    where the metadata keeps overlayfs's attributes. With `has_entries`, the layer of missing files has some entries,
    too, which come before the metadata. The kernel's list of mounts calls it `source`."""

    space: AttributeSpace
    metadata: Attach
    objects: Path
    missing: Attach
    has_entries: bool = False
    source: str = "outcrop"


def enter_for(space: AttributeSpace) -> None:
    """Puts this process into namespaces in which layers of this kind are mounted: a mount namespace as root, or a user
    namespace with it. OSError as `enter_namespaces` has it."""
    if space is AttributeSpace.TRUSTED or os.geteuid() != 0:
        enter_namespaces()
    else:
        enter_user_namespace()


def mount_layers(layers: Layers, place: Path) -> None:
    """Shows `layers` at `place`, read-only. The working directory is `place` afterwards. OSError as the kernel says,
    after which the namespace is fit for nothing: try in a child."""
    mount("outcrop", place, "tmpfs", MountFlag.NO_SUID | MountFlag.NO_DEVICES, "mode=0755")
    staging = place.absolute()
    for name in (_METADATA, _OBJECTS, _MISSING, _TOGETHER):
        (staging / name).mkdir()
    layers.missing(staging / _MISSING)
    layers.metadata(staging / _METADATA)
    bind(layers.objects, staging / _OBJECTS)
    # Relative names need no escapes, whatever the place is called.
    os.chdir(staging)
    raise_read_ahead(Path(_MISSING))
    entries = f"{_MISSING}/{os.fsdecode(ENTRIES_NAME)}:" if layers.has_entries else ""
    data = f"{_OBJECTS}::{_MISSING}/{os.fsdecode(DATA_NAME)}"
    options = f"lowerdir={entries}{_METADATA}::{data},{_OPTIONS[layers.space]}"
    mount(layers.source, _TOGETHER, "overlay", _FLAGS, options)
    together = take(_TOGETHER)
    try:
        os.chdir("/")
        detach(staging)
        put(together, staging)
    finally:
        os.close(together)
    os.chdir(staging)


def image_attached(image: Path) -> Attach:
    """Mounts the EROFS image in the file `image`, without a loop device.

    The kernel takes an image from a file on most file systems, but not from one in memory or on an overlay, as a
    container has it. It takes it from the layer of missing files then, which reads it for the kernel once."""

    def attach(place: Path) -> None:
        try:
            mount(str(image), place, "erofs", _FLAGS)
        except OSError:
            mount(str(place.parent / _MISSING / os.fsdecode(IMAGE_NAME)), place, "erofs", _FLAGS)

    return attach


def take(path: str | Path) -> int:
    """The mount at `path`, as a descriptor by which it can be put elsewhere. OSError as the kernel says."""
    return _called(_OPEN_TREE, _HERE, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC)


def put(taken: int, place: Path, *, beneath: bool = False) -> None:
    """Mounts `taken` at `place`: on top of what shows there, or `beneath` it (since Linux 6.5). OSError as the kernel
    says."""
    flags = _MOVE_MOUNT_EMPTY_PATH | (_MOVE_MOUNT_BENEATH if beneath else 0)
    _called(_MOVE_MOUNT, taken, b"", _HERE, os.fsencode(place), flags)


def _called(number: int, *arguments: int | bytes) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))
    return result


_libc = ctypes.CDLL(None, use_errno=True)
