"""The rung of a mount by `fusermount3`, for users whose kernel mounts no FUSE in their namespaces.

The mount stands at an empty directory among temporary files, where this user alone may look into it, and is bound to
its place in namespaces of the command's own or, where users get none, by bubblewrap. A warden, a process that waits
for the command to end in whatever way, takes it down.
"""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from outcrop.client.ladder.containers import BUBBLEWRAP, bubblewrap_line
from outcrop.client.ladder.detached import start_detached
from outcrop.client.ladder.launch import become
from outcrop.client.ladder.namespaces import attach_copy
from outcrop.client.ladder.own_cache import OwnCache
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.rungs import root_plan, show_in_namespaces, try_to_show
from outcrop.client.ladder.tools import bubblewrap_obstacle
from outcrop.client.ladder.trial import tried
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.client.ladder.why import why_no_namespace
from outcrop.client.mount.kernel import HELPER, MountOptions, mount, unmount
from outcrop.client.mount.processes import clear_dead_mount, mount_in_background
from outcrop.errors import OutcropError, StorageError, storage_error

_PREFIX = "outcrop-run-"
_SOMETHING = Path("/usr")


@dataclass(frozen=True, slots=True)
class Fusermount:
    """A mount by `fusermount3`, bound to its place."""

    request: RunRequest
    way: Way = Way.FUSERMOUNT

    def obstacle(self) -> Obstacle | None:
        return fusermount_obstacle() or self._obstacle_to_binding()

    def _obstacle_to_binding(self) -> Obstacle | None:
        request = self.request
        refused = why_no_namespace(try_to_show(root_plan(request), attach_copy(_SOMETHING)))
        if refused is None or bubblewrap_obstacle(request) is None:
            return None
        return refused

    def prepare(self) -> Become:
        request = self.request
        plan = root_plan(request)
        in_namespaces = try_to_show(plan, attach_copy(_SOMETHING)).succeeded
        cache = OwnCache.for_settings(request.settings)
        mountpoint = _new_mountpoint()
        try:
            mount_in_background(
                lambda: cache.request_with(request).open_tree(),
                MountOptions(request.name, mountpoint, everyone=False),
                request.log,
            )
        except BaseException:
            _take_down(mountpoint, cache.remove)
            raise
        _set_warden(mountpoint, cache.remove)
        environment = environment_of(request, self.way)

        def start(command: Sequence[str]) -> NoReturn:
            if in_namespaces:
                show_in_namespaces(plan, attach_copy(mountpoint))
                become(command, environment)
            program = shutil.which(BUBBLEWRAP) or BUBBLEWRAP
            become(bubblewrap_line(program, plan, mountpoint, os.getcwd(), command), environment)

        return start


def fusermount_obstacle() -> Obstacle | None:
    """Why `fusermount3` cannot mount for this user; None if it can: it has mounted, and unmounted, nothing at all."""
    if os.geteuid() == 0:
        return Obstacle(f"{HELPER}: root needs no help to mount")
    if shutil.which(HELPER) is None:
        return Obstacle(f"{HELPER}: it is not installed", "install the package `fuse3`")
    try:
        place = _new_mountpoint()
    except StorageError as error:
        return Obstacle(f"{HELPER}: {error.message}", error.hint)
    try:
        outcome = tried(lambda: _mount_and_unmount(place))
    finally:
        _take_down(place, lambda: None)
    return None if outcome.succeeded else Obstacle(f"{HELPER}: {outcome.problem}", outcome.hint)


def _mount_and_unmount(place: Path) -> None:
    device = mount(MountOptions("outcrop-trial", place, everyone=False))
    os.close(device)
    unmount(place, lazy=True)


def _new_mountpoint() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise storage_error(error, tempfile.gettempdir()) from error


def _set_warden(mountpoint: Path, clear_up: Callable[[], None]) -> None:
    """Has the mount taken down when this process, which is about to become the command, ends."""
    command = os.pidfd_open(os.getpid())

    def wait() -> None:
        poll = select.poll()
        poll.register(command, select.POLLIN)
        poll.poll()
        _take_down(mountpoint, clear_up)

    try:
        start_detached(wait, (command,))
    finally:
        os.close(command)


def _take_down(mountpoint: Path, clear_up: Callable[[], None]) -> None:
    """Takes the mount from sight. Processes that the command left behind may use it as long as they live."""
    with suppress(OutcropError):
        if not clear_dead_mount(mountpoint):
            unmount(mountpoint, lazy=True)
    with suppress(OSError):
        mountpoint.rmdir()
    clear_up()
