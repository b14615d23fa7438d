"""A clock that a test can advance."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Goes with the real one, and jumps where a pause or a reset would take long."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds
