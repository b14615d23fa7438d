"""The rungs of layers: the kernel itself shows the repository, and asks nobody for what the cache has.

`erofs` is root's: metadata is an EROFS image. `overlay` is for everybody else: in a user namespace, metadata is planted
in memory. Both take the cache as it is for a layer of objects, and a small FUSE layer for what is missing.

What reads repositories is imported only where namespaces and FUSE are allowed: elsewhere a worse rung is waiting.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from outcrop.client.ladder.launch import become
from outcrop.client.ladder.layer_stack import Attach, Layers, enter_for, image_attached, mount_layers
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.rungs import obstacle_to_namespaces, root_plan, show_in_namespaces
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.client.ladder.why import why_no_fuse, why_no_layers
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.layers.planting import plant
from outcrop.client.mount.kernel import DEVICE

if TYPE_CHECKING:
    from outcrop.client.ladder.layer_server import LayerServer


@dataclass(frozen=True, slots=True)
class Erofs:
    """An EROFS image of the metadata, the cache and a layer of missing files, in a mount namespace, as root."""

    request: RunRequest
    way: Way = Way.EROFS

    def obstacle(self) -> Obstacle | None:
        return _obstacle(self.request, AttributeSpace.TRUSTED)

    def prepare(self) -> Become:
        from outcrop.client.ladder.layer_server import LayerServer

        server = LayerServer.start(self.request, AttributeSpace.TRUSTED)
        return _become(self.request, self.way, AttributeSpace.TRUSTED, server, image_attached(server.ready.layer))


@dataclass(frozen=True, slots=True)
class Overlay:
    """Metadata in memory, the cache and a layer of missing files, in a user namespace."""

    request: RunRequest
    way: Way = Way.OVERLAY

    def obstacle(self) -> Obstacle | None:
        return _obstacle(self.request, AttributeSpace.USER)

    def prepare(self) -> Become:
        from outcrop.client.ladder.kept_layers import read_planting
        from outcrop.client.ladder.layer_server import LayerServer

        server = LayerServer.start(self.request, AttributeSpace.USER)
        metadata = read_planting(server.ready.layer, server.ready.digest)
        return _become(self.request, self.way, AttributeSpace.USER, server, lambda place: plant(metadata, place))


def _obstacle(request: RunRequest, space: AttributeSpace) -> Obstacle | None:
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return why_no_fuse(error)
    refused = obstacle_to_namespaces(partial(enter_for, space))
    if refused is not None:
        return refused
    from outcrop.client.ladder.layer_trial import try_layers

    return why_no_layers(try_layers(space, root_plan(request)), space)


def _become(request: RunRequest, way: Way, space: AttributeSpace, server: LayerServer, metadata: Attach) -> Become:
    plan = root_plan(request)
    environment = environment_of(request, way)
    layers = Layers(space, metadata, server.ready.objects, server.attach, server.ready.has_entries)

    def attach(place: Path) -> None:
        mount_layers(layers, place)

    def start(command: Sequence[str]) -> NoReturn:
        show_in_namespaces(plan, attach, partial(enter_for, space))
        become(command, environment)

    return start
