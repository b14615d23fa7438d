"""What to fetch along with a missing file, so that an empty cache does not cost a round trip for each. Pure.

Only misses are heard of: what lies in the cache is read without us. Objects are numbered in the order of a walk through
the tree.

- A first miss in a directory brings files behind it there. A second one, elsewhere in the same directory, brings all of
  it: so do imports read `__pycache__`, in no order.
- A miss at or near the end of what was brought before says that somebody walks: then twice as much comes, across
  directories.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from outcrop.client.layers.objects import PlainObject

FIRST_FILES, MOST_FILES = 32, 1024
"""How many files come at first, and at most, at once."""

MOST_BYTES = 32_000_000
"""Some seconds of a slow line."""

LARGEST_BYTES = 8_000_000
"""A larger file takes its time anyway; a round trip more does not matter to it."""

DIRECTORY_FILES = 512
"""A directory with more is brought in part."""

_MOST_WALKS = 64
_MOST_DIRECTORIES = 4096


@dataclass(slots=True)
class _Walk:
    """Objects from `begin` up to `end` have been asked for, the last time `window` of them."""

    begin: int
    end: int
    window: int


class Ahead:
    """Guesses among `objects`, which are in the order of a walk. Any number of threads may ask."""

    def __init__(self, objects: Sequence[PlainObject]) -> None:
        self._objects = objects
        self._walks: list[_Walk] = []
        self._misses: dict[int, int] = {}
        self._lock = threading.Lock()

    def behind(self, position: int) -> Sequence[PlainObject]:
        """What should come along with the object at `position`, which is missing."""
        with self._lock:
            walk = next((one for one in self._walks if one.begin <= position <= one.end), None)
            if walk is None:
                return self._elsewhere(position)
            begin = max(walk.end, position + 1)
            if begin - position > walk.window // 2:
                # Most of what comes is still on its way.
                return ()
            walk.window = min(2 * walk.window, MOST_FILES)
            walk.end = min(begin + walk.window, len(self._objects))
            return self._some(walk, begin)

    def _elsewhere(self, position: int) -> Sequence[PlainObject]:
        directory = self._objects[position].directory
        if len(self._misses) >= _MOST_DIRECTORIES:
            self._misses.clear()
        misses = self._misses[directory] = self._misses.get(directory, 0) + 1
        if misses == 1:
            walk = _Walk(position, self._edge(position, 1, FIRST_FILES), FIRST_FILES)
            self._walks = [*self._walks[1 - _MOST_WALKS :], walk]
            return self._some(walk, position + 1)
        if misses > 2:
            return ()
        begin = self._edge(position, -1, DIRECTORY_FILES // 2) + 1
        whole = _Walk(begin, self._edge(position, 1, DIRECTORY_FILES // 2), FIRST_FILES)
        self._walks = [*self._walks[1 - _MOST_WALKS :], whole]
        return [one for one in self._some(whole, begin) if one is not self._objects[position]]

    def _edge(self, position: int, step: int, most: int) -> int:
        """The first position from `position` on, in steps, that is not in its directory, or `most` steps away."""
        directory = self._objects[position].directory
        other = position
        while 0 <= other < len(self._objects) and self._objects[other].directory == directory:
            if abs(other - position) == most:
                break
            other += step
        return other

    def _some(self, walk: _Walk, begin: int) -> Sequence[PlainObject]:
        found: list[PlainObject] = []
        size = 0
        for number in range(begin, walk.end):
            one = self._objects[number]
            if one.size > LARGEST_BYTES:
                continue
            size += one.size
            if size > MOST_BYTES:
                walk.end = number
                break
            found.append(one)
        return found
