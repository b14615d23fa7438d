"""How the demonstration tells what it does, without knowing to whom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from outcrop.progress import Progress


class Teller(Protocol):
    """Listens to the demonstration."""

    def begin(self, title: str) -> None:
        """A chapter begins."""

    def say(self, text: str) -> None:
        """A plain sentence within a chapter."""

    def end(self, seconds: float) -> None:
        """The chapter that began last is over."""

    def progress(self) -> Progress:
        """Where long work reports to."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the demonstration and how long it took."""

    title: str
    seconds: float


class Story:
    """The chapters so far."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller
        self.chapters: list[Chapter] = []

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """The block is one chapter, timed."""
        self.teller.begin(title)
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.chapters.append(Chapter(title, seconds))
        self.teller.end(seconds)

    def say(self, text: str) -> None:
        self.teller.say(text)
