"""Climbing the ladder: the first rung that holds, and why the better ones do not."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, Rung
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import MissingCapability, OutcropError, StorageError

NOT_THIS_WAY = (MissingCapability, StorageError)
"""What says that a way is not possible after all. Other errors are about the repository, and hold for every way."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A way that was tried, and what is in its way."""

    way: Way
    obstacle: Obstacle


@dataclass(frozen=True, slots=True)
class Choice:
    """The best way that works, and the better ones that do not."""

    rung: Rung
    refused: tuple[Refused, ...]

    @property
    def way(self) -> Way:
        return self.rung.way


@dataclass(frozen=True, slots=True)
class Climbed:
    """A way that is ready: `become` turns this process into a command that sees the repository."""

    way: Way
    become: Become
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class _Deferred:
    """A rung whose code is read when it is stepped on: most runs need one or two."""

    way: Way
    module: str
    name: str
    request: RunRequest

    def obstacle(self) -> Obstacle | None:
        return self._rung().obstacle()

    def prepare(self) -> Become:
        return self._rung().prepare()

    def _rung(self) -> Rung:
        rung: Rung = getattr(importlib.import_module(self.module), self.name)(self.request)
        assert rung.way is self.way, self.name
        return rung


_PACKAGE = "outcrop.client.ladder"
_RUNGS = {
    Way.MOUNTED: (f"{_PACKAGE}.existing", "Mounted"),
    Way.EROFS: (f"{_PACKAGE}.layered", "Erofs"),
    Way.OVERLAY: (f"{_PACKAGE}.layered", "Overlay"),
    Way.FUSE: (f"{_PACKAGE}.rungs", "Fuse"),
    Way.FUSERMOUNT: (f"{_PACKAGE}.fusermount", "Fusermount"),
    Way.CHECKOUT: (f"{_PACKAGE}.rungs", "Checkout"),
    Way.CONTAINER: (f"{_PACKAGE}.tools", "Container"),
    Way.RELOCATED: (f"{_PACKAGE}.relocated_rung", "Relocated"),
    Way.PRELOAD: (f"{_PACKAGE}.preload", "Preload"),
    Way.PROOT: (f"{_PACKAGE}.tools", "Proot"),
}


def rungs_for(request: RunRequest) -> tuple[Rung, ...]:
    """The whole ladder for `request`, best first."""
    return tuple(_Deferred(way, *_RUNGS[way], request) for way in Way)


def choose(rungs: Sequence[Rung], only: Way | None = None, refused: tuple[Refused, ...] = ()) -> Choice:
    """The first of `rungs` that nothing is in the way of; with `only`, that one. `refused` were tried before.

    MissingCapability, with the reasons, where there is none."""
    for rung in rungs:
        if only is not None and rung.way is not only:
            continue
        obstacle = rung.obstacle()
        if obstacle is None:
            return Choice(rung, refused)
        refused = (*refused, Refused(rung.way, obstacle))
    raise _no_way(refused, only)


def climb(rungs: Sequence[Rung], only: Way | None = None) -> Climbed:
    """The first of `rungs` that works, made ready; with `only`, that one.

    A way that fails while it is made ready, for reasons of this machine, is counted among the refused, and the next
    one is tried. MissingCapability where none works; whatever else is wrong with the repository is raised as it is."""
    refused: tuple[Refused, ...] = ()
    rest = list(rungs)
    while True:
        choice = choose(rest, only, refused)
        try:
            return Climbed(choice.way, choice.rung.prepare(), choice.refused)
        except NOT_THIS_WAY as error:
            if only is not None:
                raise
            refused = (*choice.refused, Refused(choice.way, Obstacle(error.message, error.hint)))
            rest = rest[[rung.way for rung in rest].index(choice.way) + 1 :]


def _no_way(refused: Sequence[Refused], only: Way | None) -> OutcropError:
    if only is not None:
        obstacle = refused[-1].obstacle
        return MissingCapability(
            what=f"the way `{only.value}`",
            problem=obstacle.reason,
            hint=obstacle.hint or "`outcrop doctor` says what works",
        )
    reasons = "; ".join(f"{each.way.value} ({each.obstacle.reason})" for each in refused)
    return MissingCapability(
        what="every way to show the repository", problem=reasons, hint="`outcrop doctor` says what would help"
    )
