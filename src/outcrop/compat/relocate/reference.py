"""A place in an ELF file that holds an address, as all processors' modules tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A place that holds the address `target`. `offset`: where in the file it is; `redirect` makes it hold another
    address, and says whether that was possible."""

    offset: int
    target: int
    redirect: Callable[[int], bool]
