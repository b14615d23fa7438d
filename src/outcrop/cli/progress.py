"""Progress for people: a bar on a terminal, a plain line now and then elsewhere. Standard output is never touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TextIO

from outcrop.cli.terminal import is_terminal
from outcrop.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_INTERVAL_SECONDS = 5.0
"""How often a stage says where it is when no terminal shows a bar: often enough to see life in a log of CI."""

BAR_COLUMNS = 24
"""The bar itself; names and numbers say more than a longer one would."""


class ShownProgress(Progress, Protocol):
    """Progress that somebody sees."""

    def close(self) -> None:
        """Ends what is unfinished, without a word."""

    def aside(self) -> AbstractContextManager[None]:
        """Within it, other text can be written to the same terminal."""


class PlainProgress:
    """Lines on `stream`: none for a stage that is over at once, one every few seconds for a long one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._task = ""  # none
        self._total: int | None = None
        self._unit = ""
        self._done = 0
        self._began = self._told = 0.0

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        self._task, self._total, self._unit = task, total, unit
        self._done = 0
        self._began = self._told = self._clock()

    def advance(self, amount: int = 1, detail: str = "") -> None:
        if not self._task:
            return
        self._done += amount
        now = self._clock()
        if now - self._told >= PLAIN_INTERVAL_SECONDS:
            self._told = now
            self._tell("")

    def finish(self) -> None:
        if self._task and self._told != self._began:
            self._tell(", done")
        self._task = ""

    def close(self) -> None:
        self._task = ""

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _tell(self, ending: str) -> None:
        seconds = self._clock() - self._began
        left = "" if ending else time_left(self._done, self._total, seconds)
        line = f"{self._task}: {position(self._done, self._total, self._unit)} after {seconds:.0f} s{left}"
        try:
            print(line + ending, file=self._stream, flush=True)
        except OSError:
            return  # work does not fail because nobody can watch it


class BarProgress:
    """A bar that disappears when its stage ends. The cursor stays visible, so that nothing can leave it hidden."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rich: RichProgress | None = None

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        self.close()
        self._unit, self._total, self._done = unit, total, 0
        self._rich = _rich_progress(self._stream)
        self._bar: TaskID = self._rich.add_task(task, total=total or None, position=position(0, total, unit))
        self._rich.start()

    def advance(self, amount: int = 1, detail: str = "") -> None:
        if self._rich is None:
            return
        self._done += amount
        self._rich.update(self._bar, advance=amount, position=position(self._done, self._total, self._unit))

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()
            self._rich = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        if self._rich is None:
            yield
            return
        self._rich.stop()
        try:
            yield
        finally:
            self._rich.start()


def shown_progress(stream: TextIO, environment: Mapping[str, str]) -> ShownProgress:
    """The way of showing progress that fits `stream`."""
    if is_terminal(stream) and environment.get("TERM") != "dumb":
        return BarProgress(stream)
    return PlainProgress(stream)


def position(done: int, total: int | None, unit: str) -> str:
    """Where a stage is, as in `12 / 340 files` or `1.2 / 3.4 GB`."""
    if unit != "bytes":
        return f"{done:,} / {total:,} {unit}" if total else f"{done:,} {unit}"
    return f"{size(done)} / {size(total)}" if total else size(done)


def time_left(done: int, total: int | None, seconds: float) -> str:
    """How much longer it takes at the speed so far, as in `, about 40 s left`; empty if nobody knows."""
    if not total or not 0 < done < total:
        return ""
    left = seconds * (total - done) / done
    if left < 100:
        return f", about {left:.0f} s left"
    return f", about {left / 60:.0f} min left" if left < 100 * 60 else f", about {left / 3600:.0f} h left"


def size(count: int) -> str:
    """`count` bytes in decimal units."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    class VisibleCursor(Console):
        """A program that is killed with the cursor hidden leaves a terminal without one."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_COLUMNS),
        TextColumn("{task.fields[position]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(compact=True),
        console=VisibleCursor(file=stream, highlight=False),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
