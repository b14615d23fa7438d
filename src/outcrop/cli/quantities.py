"""Numbers of things, as sentences have them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`number` and what it counts: `1 object`, `2,000 objects`. `plural` is for nouns that take more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
