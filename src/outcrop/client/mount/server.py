"""The process that serves a mount: it opens the repository, mounts, answers, and unmounts when told to.

SIGTERM and SIGINT end the mount cleanly: it goes from sight, whoever still uses it is served for a little longer, then
the connection closes and later calls on files of it fail at once instead of waiting. The process also ends when the
mount is taken away by others.
"""

from __future__ import annotations

import gc
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.mount.activity import Activity
from outcrop.client.mount.filesystem import FileSystem
from outcrop.client.mount.following import Follower
from outcrop.client.mount.kernel import MountOptions, mount, raise_read_ahead, unmount
from outcrop.client.mount.open_files import DescriptorBudget, descriptor_budget, raise_descriptor_limit
from outcrop.client.mount.protocol import ROOT_NODE
from outcrop.client.mount.session import Session
from outcrop.client.mount.tree import About, MountedTree
from outcrop.errors import Busy, NotFound, OutcropError, StorageError, storage_error

FAREWELL_SECONDS = 3.0
"""How long those who use the mount when it is told to end are still served."""

_ALLOCATIONS_BETWEEN_COLLECTIONS = 100_000
"""What a server allocates mostly stays. Python's default, 700, costs a sixth of the time in which a catalog is read."""

_SWITCH_SECONDS = 0.0005
"""How long a thread that reads a catalog or looks ahead may hold up one that answers. Python's default, 5 ms, is as
long as 200 answers take."""

_LOG_BYTES = 1_000_000
"""A log is begun anew at this length, and one old one is kept."""

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
ENDED = signal.SIGUSR1
"""The signal by which a server tells itself that the mount is gone."""
LOOK_NOW = signal.SIGUSR2
"""The signal by which a server looks for a new revision at once."""
_LOG = logging.getLogger("outcrop.mount")

OpenTree = Callable[[], MountedTree]
Serve = Callable[[MountOptions, Callable[[], None], Path | None], None]
"""Mounts as the options say, calls its second argument when the mount answers, and serves it until it ends. The last
argument is the log. Runs in the main thread of a process of its own."""


@dataclass(frozen=True, slots=True)
class Service:
    """A file system that is ready to answer, with threads of its own that read ahead, and what it may have open."""

    file_system: FileSystem
    budget: DescriptorBudget

    @classmethod
    def open(cls, open_tree: OpenTree, log: Path | None) -> Service:
        """That of what `open_tree` opens, with its root read; raises what opening raises. `log` is where the mount
        writes what happens to it."""
        tree = open_tree()
        budget = descriptor_budget(raise_descriptor_limit())
        ahead = ThreadPoolExecutor(budget.ahead_threads, thread_name_prefix="ahead")
        file_system = FileSystem(tree, Activity(log), submit=ahead.submit, batch=budget.ahead_batch)
        file_system.nodes.directory(ROOT_NODE)
        return cls(file_system, budget)

    def session(self, device: int) -> Session:
        """The conversation with the kernel over `device`, not begun yet."""
        return Session(device, self.file_system, files=self.budget.files, fetches=self.budget.fetches)


def set_up_log(log: Path | None) -> None:
    """What happens to a mount is written to the file `log`, if there is one, and nowhere else."""
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    if log is None:
        return
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _LOG.addHandler(handler)


def serve(open_tree: OpenTree, options: MountOptions, ready: Callable[[], None], log: Path | None = None) -> None:
    """Serves what `open_tree` opens until the mount ends. `ready` is called when the mount answers.

    Runs in the main thread of a process of its own, which ends afterwards without looking back (`os._exit`), since a
    fetch may still be under way. OutcropError, before `ready`, if the repository cannot be opened or not be mounted.
    """
    prepare_process()
    service = Service.open(open_tree, log)
    wait_with_signals()
    device = mount(options)
    session = service.session(device)
    try:
        session.negotiate()
        session.start(lambda: os.kill(os.getpid(), ENDED))
        _wait_for_answer(options)
        raise_read_ahead(options.mountpoint)
        ready()
    except BaseException:
        leave(options)
        raise
    file_system = service.file_system
    stay(Follower(file_system.nodes, file_system.activity, session.tell), options, file_system.tree.about)


def prepare_process() -> None:
    """Makes this process one that serves a mount. It may be ended by signals until `wait_with_signals`."""
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(LOOK_NOW, signal.SIG_IGN)


def wait_with_signals() -> None:
    """From here on a signal waits until there is something to unmount. Threads inherit the mask."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | {ENDED, LOOK_NOW})
    signal.signal(LOOK_NOW, signal.SIG_DFL)


def stay(follower: Follower, options: MountOptions, about: About) -> None:
    """Follows the repository until a signal ends the mount, or `ENDED` says that others have taken it away."""
    _LOG.info("%s, revision %s, is mounted at %s", about.fqrn, about.revision, options.mountpoint)
    follower.start()
    if about.by_kept_proofs:
        # That fails once more, perhaps, but then the next look comes soon.
        follower.look_now()
    while (told := signal.sigwait(_STOP | {ENDED, LOOK_NOW})) == LOOK_NOW:
        follower.look_now()
    if told != ENDED:
        leave(options)
        signal.sigtimedwait({ENDED}, FAREWELL_SECONDS)
    _LOG.info("%s is not mounted at %s any more", about.fqrn, options.mountpoint)


def _wait_for_answer(options: MountOptions) -> None:
    try:
        os.statvfs(options.mountpoint)
    except OSError as error:
        raise storage_error(error, str(options.mountpoint)) from error


def leave(options: MountOptions) -> None:
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
