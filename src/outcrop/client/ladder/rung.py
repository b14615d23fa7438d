"""A rung of the ladder: it says by trying why it cannot be taken, and shows the repository if it can.

`obstacle` tries, in a child process, and changes nothing. `prepare` has the effects, and raises what is wrong with the
repository itself. What it answers turns this process into the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NoReturn, Protocol

from outcrop.client.ladder.launch import PREFIX_VARIABLE, WAY_VARIABLE
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Obstacle, Way

Become = Callable[[Sequence[str]], NoReturn]
"""Turns this process into a command that sees the repository."""


class Rung(Protocol):
    """A way, for one request."""

    @property
    def way(self) -> Way:
        """Which way this is."""

    def obstacle(self) -> Obstacle | None:
        """Why this way cannot be taken here, found by trying; None if it can."""

    def prepare(self) -> Become:
        """Makes ready what the command needs.

        MissingCapability or StorageError where this way is not possible after all; any other OutcropError where the
        repository cannot be read, whatever the way."""


def environment_of(request: RunRequest, way: Way, prefix: PurePosixPath | None = None) -> dict[str, str]:
    """The caller's environment, and what the command may want to know of us."""
    known = {WAY_VARIABLE: way.value, PREFIX_VARIABLE: str(prefix or request.prefix)}
    return {**request.environment, **known}
