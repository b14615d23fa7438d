"""Following a repository: looking for a new revision when the present one's time to live ends, and going on to it.

A look takes place a little before the time to live ends, at a random moment, so that the machines of a cluster do not
ask at once. When it fails, everything that is mounted and cached goes on to be served; the next look comes after at
most three minutes, as in the reference client. The log says when trouble begins and when it ends, not how often it was
met.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from outcrop.client.mount.activity import Activity, Outcome
from outcrop.client.mount.succession import LoadedCatalog
from outcrop.client.mount.tree import MountedTree
from outcrop.errors import OutcropError

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 86400.0
"""Seconds between two looks, whatever the repository says."""
PAUSE_AFTER_FAILURE = 180.0
"""Seconds; the reference client's value."""
_EARLIEST = 0.8
"""The part of the time to live after which a look may come."""

_LOG = logging.getLogger("outcrop.mount")

Tell = Callable[[Sequence[bytes]], None]
"""Hands notices to the kernel, in their order."""


def _nothing() -> None:
    return


class Change(Protocol):
    """What has become of a tree when the next revision shows; see `outcrop.client.mount.succession.Succession`."""

    @property
    def catalogs(self) -> Mapping[bytes, LoadedCatalog]: ...

    @property
    def summary(self) -> str: ...

    def notices(self) -> Sequence[bytes]: ...


class Followed(Protocol):
    """What goes on from one revision to the next."""

    @property
    def tree(self) -> MountedTree: ...

    def move(self, tree: MountedTree, /) -> Change:
        """Shows `tree` from now on; OutcropError if that cannot be, and then nothing has changed."""


class Follower:
    """Keeps what `nodes` stand for up to date, and has the kernel told by `tell`. `looked` is called after each look,
    however it ended; `jitter` gives 0 to 1."""

    def __init__(
        self,
        nodes: Followed,
        activity: Activity,
        tell: Tell,
        *,
        looked: Callable[[], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._nodes = nodes
        self._activity = activity
        self._tell = tell
        self._looked = looked or _nothing
        self._jitter = jitter
        self._wanted = threading.Event()
        self._in_trouble = False

    def start(self) -> None:
        """Begins to follow, in a thread that ends with the process. There are no looks for a revision that stays, but
        `looked` is called as often."""
        if self._nodes.tree.about.follows or self._looked is not _nothing:
            threading.Thread(target=self._run, name="follower", daemon=True).start()

    def look_now(self) -> None:
        """Has the next look come at once."""
        self._wanted.set()

    def pause(self) -> float:
        """Seconds until the next look."""
        ttl = min(max(float(self._nodes.tree.about.ttl), SHORTEST_PAUSE), LONGEST_PAUSE)
        if self._in_trouble:
            ttl = min(ttl, PAUSE_AFTER_FAILURE)
        return ttl * (_EARLIEST + (1 - _EARLIEST) * self._jitter())

    def look(self) -> Outcome:
        """Looks for a new revision, and goes on to it if there is one."""
        tree = self._nodes.tree
        try:
            newer = tree.newer()
            if newer is not None:
                change = self._nodes.move(newer)
                self._tell(change.notices())
        except OutcropError as error:
            self._activity.checked(Outcome.FAILED, str(error))
            if not self._in_trouble:
                _LOG.warning("revision %s goes on to be shown, from what is cached: %s", tree.about.revision, error)
            self._in_trouble = True
            return Outcome.FAILED
        if self._in_trouble:
            _LOG.info("the repository can be reached again")
            self._in_trouble = False
        if newer is None:
            self._activity.checked(Outcome.UNCHANGED)
            return Outcome.UNCHANGED
        newer.takes_over({path: loaded.digest for path, loaded in change.catalogs.items()})
        tree.release()
        self._activity.checked(Outcome.CHANGED)
        _LOG.info(
            "revision %s is shown now (%s)",
            newer.about.revision,
            change.summary,
        )
        return Outcome.CHANGED

    def _run(self) -> None:
        while True:
            self._wanted.wait(self.pause())
            self._wanted.clear()
            try:
                if self._nodes.tree.about.follows:
                    self.look()
                self._looked()
            except Exception as error:
                # A fault of ours must not end the following; the next look may do.
                _LOG.error("a fault in outcrop itself", exc_info=error)
                self._activity.checked(Outcome.FAILED, f"a fault in outcrop itself: {error}")
                self._in_trouble = True
