"""Directories that exist in a table only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from outcrop.client.ladder.root_plan import Kind


class PretendedHost:
    """A machine with the given paths: directories end in `/`, links have a target behind ` -> `, the rest are files."""

    def __init__(self, *lines: str) -> None:
        self._kinds: dict[PurePosixPath, Kind] = {PurePosixPath("/"): Kind.DIRECTORY}
        self._links: dict[PurePosixPath, str] = {}
        for line in lines:
            path, _, target = line.partition(" -> ")
            kind = Kind.LINK if target else Kind.DIRECTORY if path.endswith("/") else Kind.FILE
            self._kinds[PurePosixPath(path)] = kind
            self._links[PurePosixPath(path)] = target

    def kind(self, path: PurePosixPath) -> Kind | None:
        return self._kinds.get(path)

    def names(self, path: PurePosixPath) -> Sequence[str]:
        return sorted(each.name for each in self._kinds if each.parent == path and each != path)

    def link(self, path: PurePosixPath) -> str:
        return self._links[path]
