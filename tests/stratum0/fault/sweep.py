"""How many of the points at which a command may be interrupted are tried: all with `make fault`, else a sample.

OUTCROP_TEST_SWEEP=all tries all, OUTCROP_TEST_SEED replays a sample.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

Point = TypeVar("Point")

IS_WHOLE = os.environ.get("OUTCROP_TEST_SWEEP") == "all"
"""Read, like the seed, before the tests begin, which see nothing of our variables."""

SECONDS = 3600 if IS_WHOLE else 300
"""How long one test may take."""

SEED = int(os.environ.get("OUTCROP_TEST_SEED", random.randrange(2**32)))
_SHOWN_FAILURES = 10
_SOMETIMES = 8
"""One of so many points gets the slow looks too."""
_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 48 * 1024 * 1024


def place_in_memory() -> Path | None:
    """A file system in memory, where there is one with room: a thousand copies of a repository come and go, and what a
    real disk would make of a sync is not what is looked at."""
    has_room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES
    return _MEMORY if has_room else None


def sample(points: Sequence[Point], number: int, what: str) -> list[Point]:
    """`number` of `points`, in their order, or all of them in a whole sweep; `what` makes one sample differ from
    another."""
    if IS_WHOLE or len(points) <= number:
        return list(points)
    chosen = random.Random(f"{SEED} {what}").sample(range(len(points)), number)
    return [points[position] for position in sorted(chosen)]


def require_all(
    points: Iterable[Point], look: Callable[[Point, bool], None], what: str, *, always_thoroughly: bool = False
) -> None:
    """Fails, naming the points and how to replay them, unless `look` is content with each point of `what`. It is told
    whether to look thoroughly."""
    failures = []
    for number, point in enumerate(points):
        try:
            look(point, always_thoroughly or number % _SOMETIMES == 0)
        except Exception as error:
            failures.append(f"{what}: {point}\n    {type(error).__name__}: {error}")
            if len(failures) == _SHOWN_FAILURES:
                break
    assert not failures, "\n".join(["", *failures, f"OUTCROP_TEST_SEED={SEED} replays this"])
