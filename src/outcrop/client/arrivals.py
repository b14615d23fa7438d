"""Which contents the threads of this process are bringing now, so that each is brought by one of them."""

from __future__ import annotations

import threading


class Arrivals:
    """The keys of contents that are on their way."""

    def __init__(self) -> None:
        self._coming: set[bytes] = set()
        self._changed = threading.Condition()
        self._waiting = 0

    def begin(self, key: bytes) -> bool:
        """Whether the caller is to bring `key`, and then says `ended`; False where another thread is at it."""
        with self._changed:
            if key in self._coming:
                return False
            self._coming.add(key)
            return True

    def ended(self, key: bytes) -> None:
        """`key` has come, or will not: whoever waits for it goes on. May be said twice."""
        with self._changed:
            self._coming.discard(key)
            if self._waiting:
                self._changed.notify_all()

    def wait(self, key: bytes) -> None:
        """Returns when nobody is bringing `key` any more."""
        with self._changed:
            self._waiting += 1
            try:
                while key in self._coming:
                    self._changed.wait()
            finally:
                self._waiting -= 1
