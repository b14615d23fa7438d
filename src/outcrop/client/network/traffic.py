"""What has come over the network, as the counters of a mount tell it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    """`bytes` that came, whether they were of use or not; `objects` that came whole and right; `seconds` in which at
    least one transfer was under way."""

    bytes: int = 0
    objects: int = 0
    seconds: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.bytes + other.bytes, self.objects + other.objects, self.seconds + other.seconds)


NOTHING = Amount()


class Traffic:
    """Counts what comes. May be used from any thread; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._amount = NOTHING
        self._under_way = 0
        self._began = 0.0

    @property
    def amount(self) -> Amount:
        """All that has come so far."""
        with self._lock:
            running = self._clock() - self._began if self._under_way else 0.0
            return self._amount + Amount(seconds=running)

    def came(self, size: int, objects: int = 0) -> None:
        """Takes note of `size` bytes that came, and of `objects` that are complete with them."""
        with self._lock:
            self._amount += Amount(size, objects)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Something is fetched within the block. Seconds in which several fetch at once count once."""
        with self._lock:
            if not self._under_way:
                self._began = self._clock()
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self._amount += Amount(seconds=self._clock() - self._began)
