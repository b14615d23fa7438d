"""A mount that is made because somebody looks, and waits: run by `private_place.play`, as `scenarios` is.

The automounter is a few lines of our own around the kernel's autofs, which systemd and autofs(5) use as well.

Source: the kernel's `Documentation/filesystems/autofs.rst`.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from outcrop.client.ladder.system_calls import detach, mount
from outcrop.client.layered.server import LayeredService
from outcrop.client.mount.kernel import MountOptions
from outcrop.client.mount.processes import served
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.mount.server import serve
from outcrop.client.owners import AS_PUBLISHED
from tests.client.mount.revision_scenarios import FIRST, publish, reading
from tests.client.published import NAME

_READY = 0x9360
"""AUTOFS_IOC_READY of `linux/auto_fs.h`."""
_PACKET = struct.Struct("iiI")
_PACKET_BYTES = 512
_PATIENCE = 30


def mount_is_made_while_somebody_waits_for_it(directory: Path, by: str) -> None:
    publish(directory / "server", 1, FIRST)
    opening = partial(open_mounted_tree, *reading(directory))
    service = LayeredService(opening, directory / "cache", AS_PUBLISHED) if by == "layers" else partial(serve, opening)
    place = directory / "mount"
    place.mkdir()
    if os.getpgrp() != os.getpid():
        # The kernel takes this group for the automounter, which alone may look there before anything is mounted.
        os.setpgid(0, 0)
    with ExitStack() as resources:
        asking, told = os.pipe2(os.O_DIRECT)
        data = f"fd={told},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
        mount("test", place, "autofs", data=data)
        resources.callback(detach, place)
        control = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        resources.callback(os.close, control)
        looking = subprocess.Popen(["cat", place / "README"], stdout=subprocess.PIPE, start_new_session=True)
        resources.callback(looking.kill)
        assert select.select([asking], [], [], _PATIENCE)[0], "the kernel asks for the mount"
        _, _, token = _PACKET.unpack_from(os.read(asking, _PACKET_BYTES))
        with served(service, MountOptions(NAME, place, True), directory / "mount.log"):
            fcntl.ioctl(control, _READY, token)
            shown, _ = looking.communicate(timeout=_PATIENCE)
            assert shown == b"one"


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
