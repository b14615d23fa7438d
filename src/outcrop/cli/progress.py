"""Progress for people: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from outcrop.progress import Progress

PLAIN_INTERVAL_SECONDS = 5.0
"""How often a stage says where it is when no terminal shows a bar: often enough to see life in a log of CI."""


class PlainProgress:
    """Lines on standard error."""

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        self._task, self._total, self._unit = task, total, unit
        self._done = 0
        self._began = self._told = time.monotonic()

    def advance(self, amount: int = 1, detail: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._told >= PLAIN_INTERVAL_SECONDS:
            self._told = now
            print(f"{self._task}: {self._position()}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        if self._told != self._began:
            print(f"{self._task}: {self._position()}, done", file=sys.stderr, flush=True)

    def _position(self) -> str:
        of = f" of {_amount(self._total, self._unit)}" if self._total else ""
        return f"{_amount(self._done, self._unit)}{of} after {time.monotonic() - self._began:.0f} s"


class BarProgress:
    """A bar drawn by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[position]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        self._unit, self._total, self._done = unit, total, 0
        self._rich.start()
        self._bar = self._rich.add_task(task, total=total, position="")

    def advance(self, amount: int = 1, detail: str = "") -> None:
        self._done += amount
        of = f" / {_amount(self._total, self._unit)}" if self._total else ""
        self._rich.update(self._bar, advance=amount, position=f"{_amount(self._done, self._unit)}{of}")

    def finish(self) -> None:
        self._rich.remove_task(self._bar)
        self._rich.stop()


def shown_progress() -> Progress:
    """The way of showing progress that fits standard error."""
    return BarProgress() if sys.stderr.isatty() else PlainProgress()


def _amount(count: int | None, unit: str) -> str:
    if count is None:
        return ""
    if unit != "bytes":
        return f"{count:,} {unit}"
    size = float(count)
    for prefix in ("B", "kB", "MB", "GB"):
        if size < 1000 or prefix == "GB":
            return f"{size:.0f} {prefix}" if prefix == "B" else f"{size:.1f} {prefix}"
        size /= 1000
    raise AssertionError("unreachable")
