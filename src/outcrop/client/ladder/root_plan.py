"""How a directory of this machine, or a mount, comes to show at a place that may not exist.

Where the place is a directory, it is covered, and nothing else changes. Where it is not there, the directories above it
are made anew in memory, with everything that they hold: directories and files are bound, links made again. So no
mountpoint is ever created on the machine itself.

Pure: `HostTree` is what a plan needs to know of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Protocol

from outcrop.errors import InvalidValue

_ROOT = PurePosixPath("/")


class Kind(Enum):
    """What a path is, links not followed."""

    DIRECTORY = "directory"
    LINK = "link"
    FILE = "file"


class HostTree(Protocol):
    """The machine's directories."""

    def kind(self, path: PurePosixPath) -> Kind | None:
        """What `path` is; None where there is nothing, or nothing that this user may know of."""

    def names(self, path: PurePosixPath) -> Sequence[str]:
        """The names in the directory `path`, sorted."""

    def link(self, path: PurePosixPath) -> str:
        """Where the link `path` leads."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An entry of the machine that shows in the new root as well. A link has a `target`."""

    path: PurePosixPath
    kind: Kind
    target: str = ""


@dataclass(frozen=True, slots=True)
class RootPlan:
    """What has to be done so that something shows at `place`: nothing before it is covered (`is_direct`), or the
    directories `opened` are made anew, each before what it holds, with the entries `carried`."""

    place: PurePosixPath
    opened: tuple[PurePosixPath, ...] = ()
    carried: tuple[Carried, ...] = ()

    @property
    def is_direct(self) -> bool:
        return not self.opened


def plan_root(place: PurePosixPath, host: HostTree) -> RootPlan:
    """The plan for `place`, an absolute path with no links in it.

    InvalidValue if something other than a directory is in its way."""
    if not place.is_absolute() or place == _ROOT or ".." in place.parts:
        raise InvalidValue(what=f"the place {place}", problem="is not an absolute path below the root")
    kind = host.kind(place)
    if kind is Kind.DIRECTORY:
        return RootPlan(place)
    if kind is not None:
        raise InvalidValue(what=str(place), problem=f"is a {kind.value}, so no repository can show there")
    existing = next(path for path in place.parents if path == _ROOT or host.kind(path) is not None)
    if existing != _ROOT and host.kind(existing) is not Kind.DIRECTORY:
        raise InvalidValue(what=str(existing), problem="is not a directory, so no repository can show below it")
    opened = (*reversed(existing.parents), existing) if existing != _ROOT else (_ROOT,)
    return RootPlan(place, opened, tuple(_carried(opened, host)))


def _carried(opened: Sequence[PurePosixPath], host: HostTree) -> list[Carried]:
    found = []
    for directory in opened:
        for name in host.names(directory):
            path = directory / name
            kind = host.kind(path)
            if path in opened or kind is None:
                # What this user may not even look at would be as absent inside as it is outside.
                continue
            found.append(Carried(path, kind, host.link(path) if kind is Kind.LINK else ""))
    return found
