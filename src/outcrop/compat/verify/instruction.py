"""What a look at code gives: which extensions of the family it has instructions of, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scanned:
    """The extensions beyond the baseline, by the manuals' names; `asks`: it asks the processor what it has."""

    extensions: frozenset[str] = frozenset()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The first instruction of an extension, as text, its address, and how many there are."""

    address: int
    instruction: str
    number: int
