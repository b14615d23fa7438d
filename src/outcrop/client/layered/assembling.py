"""Putting the layers of a mount together, in a process and a mount namespace of their own.

What is put together is handed over as a descriptor, so nothing of it but the one mount ever shows on the machine. The
process is started anew, since the server that wants it has threads. What is told goes over a socket, as JSON:

| from | says | brings |
|---|---|---|
| the process | that the layer of missing files waits to be answered | the FUSE device |
| the server | that it answers | |
| the process | that it is done, or the error | the mount |
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from outcrop.children import error_message, raise_told
from outcrop.client.ladder.fuse_server import mount_fuse
from outcrop.client.ladder.layer_stack import Layers, image_attached, mount_layers, take
from outcrop.client.ladder.system_calls import CLONE_NEWNS, MountFlag, mount, unshare
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.mount.kernel import received_with_descriptor
from outcrop.errors import CommandFailed, MissingCapability, OutcropError, storage_error

_WITHOUT_LAYERS = "`--by fuse` needs no layers"

_SECONDS = 60.0
"""A process that mounts is done in a tenth of a second; one that hangs has met a fault of the kernel."""
_MESSAGE_BYTES = 65_536
_WHAT = "the process that puts layers together"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to put together: the image of the metadata, the root of a cache, under which name. `place` is a directory to
    do it on, which is covered in the process's own namespace only."""

    image: str
    objects: str
    source: str
    place: str


def assemble(plan: Plan, serve: Callable[[int], None]) -> int:
    """A descriptor of the mount that shows the layers of `plan`, which is nowhere yet.

    `serve` is given the device of the layer of missing files, and has it answered from then on. MissingCapability where
    the kernel refuses, CommandFailed if the process ends without a word."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(_SECONDS)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), json.dumps(asdict(plan))],
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            serve(_heard(ours))
            ours.send(b"{}")
            return _heard(ours)
        except OSError as error:
            raise CommandFailed(what=_WHAT, problem=str(error), hint=_WITHOUT_LAYERS) from error
        finally:
            process.kill()
            process.wait()


def _heard(connection: socket.socket) -> int:
    """The descriptor that comes with the next message; raises the error that it tells."""
    message, descriptor = received_with_descriptor(connection, _MESSAGE_BYTES)
    if message:
        raise_told(json.loads(message))
    if descriptor is None:
        raise CommandFailed(what=_WHAT, problem="it ended at once", hint="try again; `dmesg` may say more")
    return descriptor


def _work(connection: socket.socket, plan: Plan) -> None:
    unshare(CLONE_NEWNS)
    mount("none", "/", flags=MountFlag.RECURSIVE | MountFlag.SLAVE)

    def missing(place: Path) -> None:
        device = mount_fuse(plan.source, place)
        try:
            socket.send_fds(connection, [b"{}"], [device])
        finally:
            os.close(device)
        connection.recv(_MESSAGE_BYTES)

    place = Path(plan.place)
    image = image_attached(Path(plan.image))
    layers = Layers(AttributeSpace.TRUSTED, image, Path(plan.objects), missing, has_entries=True, source=plan.source)
    mount_layers(layers, place)
    socket.send_fds(connection, [b"{}"], [take(place)])


def main() -> None:
    """What the process does."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    try:
        _work(connection, Plan(**json.loads(sys.argv[2])))
    except OutcropError as error:
        connection.send(json.dumps(error_message(error)).encode())
    except PermissionError as error:
        problem = f"the kernel does not let us mount ({error.strerror})"
        refused = MissingCapability(what="a mount by layers", problem=problem, hint=_WITHOUT_LAYERS)
        connection.send(json.dumps(error_message(refused)).encode())
    except OSError as error:
        connection.send(json.dumps(error_message(storage_error(error, "a mount by layers"))).encode())


if __name__ == "__main__":
    main()
