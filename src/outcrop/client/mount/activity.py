"""What a mount has done and seen so far: requests, errors, looks for a new revision. Safe to use from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class Outcome(Enum):
    """How a look for a new revision ended."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """A look for a new revision: when (seconds since 1970), how it ended, what went wrong if anything did."""

    at: float
    outcome: Outcome
    problem: str = ""


@dataclass(slots=True)
class Tally:
    """How much one thread has answered. Only that thread counts up."""

    requests: int = 0


@dataclass
class Activity:
    """Counts and moments, in seconds since 1970. `log` is where the mount writes what happens to it."""

    log: Path | None = None
    clock: Callable[[], float] = time.time
    last_check: Check | None = None
    errors: int = 0
    last_error: str = ""
    last_error_at: float = 0.0
    started: float = field(init=False)
    shown_since: float = field(init=False)
    """Since when the present revision has been shown."""

    def __post_init__(self) -> None:
        self.started = self.shown_since = self.clock()
        self._tallies: list[Tally] = []
        self._lock = threading.Lock()

    def new_tally(self) -> Tally:
        """For a thread that begins to answer."""
        tally = Tally()
        with self._lock:
            self._tallies.append(tally)
        return tally

    @property
    def requests(self) -> int:
        """How many requests of the kernel have come."""
        return sum(tally.requests for tally in self._tallies)

    def failed(self, problem: str) -> None:
        """A request was answered with an error for `problem`."""
        with self._lock:
            self.errors += 1
            self.last_error, self.last_error_at = problem, self.clock()

    def checked(self, outcome: Outcome, problem: str = "") -> None:
        """A look for a new revision has ended."""
        self.last_check = Check(self.clock(), outcome, problem)
        if outcome is Outcome.CHANGED:
            self.shown_since = self.last_check.at
