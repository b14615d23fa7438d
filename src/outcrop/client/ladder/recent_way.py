"""The way that a run took a moment ago, which the next one tries first.

To try all rungs takes a second, most of it for code that a refused rung does not even use. So a run that has tried them
writes down which one held and why better ones did not. For a few minutes, and as long as its surroundings look the
same, the same request begins with that rung. A mount that is there by now comes before it all the same. When the rung
does not hold any more, all are tried again, and so they are when the minutes are over: nothing is decided by what a
machine says of itself.

    {"format": 1, "way": "relocated", "refused": [["fuse", "there is no /dev/fuse", ""]], "surroundings": "…", "at": …}

The file is a cache, in the state directory beside what was proved (`outcrop.client.recent_proof`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from outcrop.client.ladder.climb import NOT_THIS_WAY, Climbed, Refused, climb
from outcrop.client.ladder.rung import Rung
from outcrop.client.ladder.surroundings import surroundings
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import StorageError
from outcrop.whole_file import write_whole_file

KEPT_SECONDS = 300.0
"""How long a better way that has become possible may go unnoticed."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class _Taken:
    """The way that held, and the better ones that did not."""

    way: Way
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class RecentWay:
    """What is kept in the file `path`. `surroundings` says in a word what it depends on."""

    path: Path
    surroundings: Callable[[], str]
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, state_directory: Path, repository: str, request: Sequence[str]) -> RecentWay:
        """What is kept for `request`: the words and settings that say what is to be shown."""
        digest = hashlib.sha256("\0".join(request).encode("utf-8", "surrogateescape")).hexdigest()
        return cls(state_directory / "ways" / f"{repository}-{digest[:16]}.json", _seen)

    def climb(self, rungs: Sequence[Rung]) -> Climbed:
        """The rung that held a moment ago, or a mount that is there by now, made ready; else what `climb` finds.

        Raises as `climb` does."""
        before = self._recall()
        if before is not None:
            try:
                return self._as_before(rungs, before)
            except NOT_THIS_WAY:
                # Something has changed that does not show: all are tried again.
                self._forget()
        ready = climb(rungs)
        self._keep(_Taken(ready.way, ready.refused))
        return ready

    def _as_before(self, rungs: Sequence[Rung], before: _Taken) -> Climbed:
        mounted = next((rung for rung in rungs if rung.way is Way.MOUNTED), None)
        if mounted is not None and before.way is not Way.MOUNTED and mounted.obstacle() is None:
            return Climbed(Way.MOUNTED, mounted.prepare(), ())
        return replace(climb(rungs, before.way), refused=before.refused)

    def until(self) -> float:
        """Until when (seconds since 1970) what is kept is taken for granted; 0 where nothing is."""
        try:
            return float(json.loads(self.path.read_bytes())["at"]) + KEPT_SECONDS
        except (OSError, ValueError, LookupError, TypeError):
            return 0.0

    def _recall(self) -> _Taken | None:
        try:
            document = json.loads(self.path.read_bytes())
            holds = document["format"] == _FORMAT and 0 <= self.clock() - float(document["at"]) < KEPT_SECONDS
            refused = [Refused(Way(way), Obstacle(str(reason), str(hint))) for way, reason, hint in document["refused"]]
            taken = _Taken(Way(document["way"]), tuple(refused))
            return taken if holds and document["surroundings"] == self.surroundings() else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _keep(self, taken: _Taken) -> None:
        document = {
            "format": _FORMAT,
            "way": taken.way.value,
            "refused": [[each.way.value, each.obstacle.reason, each.obstacle.hint] for each in taken.refused],
            "surroundings": self.surroundings(),
            "at": self.clock(),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.path, json.dumps(document).encode())
        except (OSError, StorageError):
            # The next run tries them all, as this one did.
            self._forget()

    def _forget(self) -> None:
        with suppress(OSError):
            self.path.unlink()


def _seen() -> str:
    return hashlib.sha256(surroundings().encode("utf-8", "surrogateescape")).hexdigest()
