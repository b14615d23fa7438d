"""The process that serves missing files to the layers of one command, from outside of the command's namespaces.

It opens the repository, finds or makes the layer of metadata, and verifies the objects that the cache has, all before
anything is mounted. From then on it fetches what is missing. As with every mount of a run, it ends when the kernel says
that the last mount is gone.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.children import error_message, raise_told
from outcrop.client.cache_choice import CacheChoice
from outcrop.client.known_repository import link_variables
from outcrop.client.ladder.detached import start_detached
from outcrop.client.ladder.fuse_server import mount_fuse
from outcrop.client.ladder.kept_layers import LAYERS_NAME, KeptLayers, Wanted
from outcrop.client.ladder.own_cache import OwnCache
from outcrop.client.ladder.ready_layers import ReadyLayers
from outcrop.client.ladder.request import RunRequest
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.layers.missing_files import MissingFiles
from outcrop.client.layers.missing_session import MissingSession
from outcrop.client.mount.kernel import received_descriptor
from outcrop.client.mount.open_files import raise_descriptor_limit
from outcrop.client.mount.server import set_up_log
from outcrop.client.repository import open_repository
from outcrop.errors import CommandFailed, OutcropError, storage_error

_ALLOCATIONS_BETWEEN_COLLECTIONS = 100_000
"""What is read of catalogs stays. Python's default, 700, costs a third of the time in which a layer is made."""

_MESSAGE_BYTES = 65_536
_IS_MAKING = "making"
_WHAT = "the process that serves missing files"
_LOG = logging.getLogger("outcrop.mount")


@dataclass(frozen=True, slots=True)
class Ready:
    """What the server has made ready: the file of metadata with its digest, and the root of the cache. With
    `has_entries` it shows some entries itself."""

    layer: Path
    digest: str
    objects: Path
    has_entries: bool


class LayerServer:
    """A server that waits for the descriptor of a mount; `ready` is what to mount besides."""

    def __init__(self, connection: socket.socket, name: str, ready: Ready) -> None:
        self._connection = connection
        self._name = name
        self.ready = ready

    @classmethod
    def start(cls, request: RunRequest, space: AttributeSpace) -> LayerServer:
        """A server of what `request` asks for, with a layer of metadata for `space`. Raises what opening the repository
        raises, MissingCapability where layers cannot show it, StorageError where there is no room.

        This process should have no other threads."""
        cache = OwnCache.for_settings(request.settings)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            start_detached(lambda: _serve_and_log(request, cache, space, theirs), (theirs.fileno(),))
        try:
            content = _heard(ours)
            if _IS_MAKING in content:
                request.note(f"a layer of metadata for {request.name} is being made; it is used again")
                content = _heard(ours)
        except BaseException:
            ours.close()
            raise
        for note in _texts(content["notes"]):
            request.tell(note)
        layer, objects = Path(str(content["layer"])), Path(str(content["objects"]))
        ready = Ready(layer, str(content["digest"]), objects, bool(content["has_entries"]))
        return cls(ours, request.name, ready)

    def attach(self, place: Path) -> None:
        """Mounts the layer of missing files at `place`, in the namespace that this process is in by now."""
        device = mount_fuse(self._name, place)
        try:
            socket.send_fds(self._connection, [b"device"], [device])
        finally:
            os.close(device)
        _heard(self._connection)
        self._connection.close()


def _heard(connection: socket.socket) -> dict[str, object]:
    """The server's next word; raises the error that it tells."""
    message = connection.recv(_MESSAGE_BYTES)
    if not message:
        raise CommandFailed(what=_WHAT, problem="it ended at once", hint="try again; `dmesg` may say more")
    content: dict[str, object] = json.loads(message)
    raise_told(content)
    return content


def _say(connection: socket.socket, content: Mapping[str, object]) -> None:
    connection.send(json.dumps(content).encode())


def _texts(notes: object) -> list[str]:
    return [str(note) for note in notes] if isinstance(notes, list) else []


class _Notes:
    """Sentences for the user until the command runs, and for the log from then on."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.is_running = False

    def __call__(self, text: str) -> None:
        if self.is_running:
            _LOG.warning("%s", text)
        else:
            self.kept.append(text)


def _serve_and_log(request: RunRequest, cache: OwnCache, space: AttributeSpace, connection: socket.socket) -> None:
    set_up_log(request.log)
    try:
        _serve(cache.request_with(request), _layers_directory(request, cache), space, connection)
    except Exception as error:
        _LOG.error("the server of missing files ends", exc_info=error)
    finally:
        cache.remove()


def _layers_directory(request: RunRequest, cache: OwnCache) -> Path:
    """Where layers are kept: with the user's cache, which may be shared with others who have theirs there, or with the
    private one, which takes them along."""
    base = request.settings.cache_directory
    if base.is_absolute():
        kept = KeptLayers.below(base)
        if kept is not None:
            return kept.directory
    return (cache.directory or request.settings.cache or base) / LAYERS_NAME


def _serve(request: RunRequest, layers: Path, space: AttributeSpace, connection: socket.socket) -> None:
    notes = _Notes()
    try:
        files, ready = _made_ready(request, layers, space, notes, lambda: _say(connection, {_IS_MAKING: True}))
    except OutcropError as error:
        _say(connection, error_message(error))
        return
    except OSError as error:
        _say(connection, error_message(storage_error(error)))
        return
    _say(
        connection,
        {
            "layer": str(ready.layer),
            "digest": ready.digest,
            "objects": str(ready.objects),
            "has_entries": ready.has_entries,
            "notes": notes.kept,
        },
    )
    notes.is_running = True
    device = received_descriptor(connection)
    if device is None:
        return
    _say(connection, {})
    connection.close()
    MissingSession(device, files).run()


def _made_ready(
    request: RunRequest, layers: Path, space: AttributeSpace, tell: Callable[[str], None], making: Callable[[], None]
) -> tuple[MissingFiles, Ready]:
    """Everything that the layers need; `making` is called when the metadata has to be made first."""
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
    raise_descriptor_limit()
    address = request.address()
    repository = open_repository(address, request.settings, request.choice, tell)
    variables = link_variables(address, request.environment)
    kept, wanted = KeptLayers(layers), Wanted(space, variables, address.ownership)
    settings = request.settings
    objects = CacheChoice(settings.cache_directory, settings.cache or address.cache_directory, tell).directory
    ready = ReadyLayers.make(repository, kept, wanted, objects, making)
    layer = ready.layer
    return ready.files(), Ready(layer.path, layer.digest, objects.absolute(), layer.rest is not None)
