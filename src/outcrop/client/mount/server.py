"""The process that serves a mount: it opens the repository, mounts, answers, and unmounts when told to.

SIGTERM and SIGINT end the mount cleanly: it goes from sight, whoever still uses it is served for a little longer, then
the connection closes and later calls on files of it fail at once instead of waiting. The process also ends when the
mount is taken away by others.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable

from outcrop.client.mount.filesystem import FileSystem
from outcrop.client.mount.kernel import MountOptions, mount, raise_read_ahead, unmount
from outcrop.client.mount.open_files import files_per_reader
from outcrop.client.mount.session import READERS, Session
from outcrop.client.mount.tree import MountedTree
from outcrop.errors import Busy, NotFound, OutcropError, StorageError, storage_error

FAREWELL_SECONDS = 3.0
"""How long those who use the mount when it is told to end are still served."""

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_ENDED = signal.SIGUSR1
_LOG = logging.getLogger("outcrop.mount")

OpenTree = Callable[[], MountedTree]


def serve(open_tree: OpenTree, options: MountOptions, ready: Callable[[], None]) -> None:
    """Serves what `open_tree` opens until the mount ends. `ready` is called when the mount answers.

    Runs in the main thread of a process of its own, which ends afterwards without looking back (`os._exit`), since a
    fetch may still be under way. OutcropError, before `ready`, if the repository cannot be opened or not be mounted.
    """
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    tree = open_tree()
    file_system = FileSystem(tree)
    file_system.nodes.directory(1)
    # From here on a signal waits until there is something to unmount. Threads inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | {_ENDED})
    device = mount(options)
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    session = Session(device, file_system, files=files_per_reader(descriptors, READERS))
    try:
        session.negotiate()
        session.start(lambda: os.kill(os.getpid(), _ENDED))
        _wait_for_answer(options)
        raise_read_ahead(options.mountpoint)
        ready()
    except BaseException:
        _leave(options)
        raise
    about = tree.about
    _LOG.info("%s, revision %s, is mounted at %s", about.fqrn, about.revision, options.mountpoint)
    if signal.sigwait(_STOP | {_ENDED}) != _ENDED:
        _leave(options)
        signal.sigtimedwait({_ENDED}, FAREWELL_SECONDS)
    _LOG.info("%s is not mounted at %s any more", about.fqrn, options.mountpoint)


def _wait_for_answer(options: MountOptions) -> None:
    try:
        os.statvfs(options.mountpoint)
    except OSError as error:
        raise storage_error(error, str(options.mountpoint)) from error


def _leave(options: MountOptions) -> None:
    """Takes the mount from sight, whoever uses it."""
    try:
        try:
            unmount(options.mountpoint, lazy=False)
        except Busy:
            unmount(options.mountpoint, lazy=True)
    except NotFound:
        return
    except (OutcropError, StorageError) as error:
        _LOG.error("%s", error)
