"""How a repository is read, and which revision of it: plain values, which cost nothing to import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop import directories
from outcrop.cvmfs.digest import Digest
from outcrop.errors import InvalidValue

if TYPE_CHECKING:
    from datetime import datetime

    from outcrop.client.trust import Blacklist


@dataclass(frozen=True, slots=True)
class RevisionChoice:
    """Which revision to read: the current one unless one of the three says otherwise."""

    tag: str = ""
    revision: int | None = None
    root_catalog: Digest | None = None

    def __post_init__(self) -> None:
        if sum((bool(self.tag), self.revision is not None, self.root_catalog is not None)) > 1:
            raise InvalidValue(
                what="the choice of a revision",
                problem="says several things",
                hint="use one of `--tag`, `--revision` and `--root-hash`",
            )


CURRENT = RevisionChoice()


def _now() -> datetime:
    # The module takes longer to read than many a command to run, and few commands ask.
    from datetime import UTC, datetime

    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to read: `cache` is the directory of objects (None for this user's), `state_directory` remembers what was
    seen, `blacklist` holds besides those of the site (None for no other), `now` tells the time in UTC."""

    cache: Path | None = None
    cache_directory: Path = field(default_factory=directories.cache_directory)
    state_directory: Path = field(default_factory=directories.state_directory)
    blacklist: Blacklist | None = None
    now: Callable[[], datetime] = _now
