"""How commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outcrop.cli.terminal import Style, is_terminal, one_line, painted, printable, uncoloured, wants_colour, width
from outcrop.errors import OutcropError, StorageError, storage_error
from outcrop.progress import SILENT, Progress

if TYPE_CHECKING:
    from outcrop.cli.progress import ShownProgress

_OUTPUT = "standard output"
_COLUMN_GAP = "  "
_NUMBER_CHARACTERS = frozenset("0123456789,.-")


class Console:
    """One command's voice. `quiet` keeps notes, warnings and progress back; errors are always said.

    Control characters reach standard output only when no terminal shows it, and standard error never: names come from
    servers that may lie. A standard output that cannot be written is a StorageError; one that nobody reads any more is
    a BrokenPipeError, as everywhere.
    """

    def __init__(self) -> None:
        self.quiet = False
        self._progress: ShownProgress | None = None

    def result(self, text: str) -> None:
        """One line of the answer, to standard output. Undecodable bytes of names come out as they went in."""
        self._write_line(printable(text) if is_terminal(sys.stdout) else text)

    def page(self, text: str) -> None:
        """Text of ours, to standard output, with the colours that it has where they are wanted."""
        self._write_line(text if wants_colour(sys.stdout, os.environ) else uncoloured(text))

    def binary(self, data: bytes | memoryview) -> None:
        """Bytes of the answer, to standard output, untouched."""
        with self._above_progress(), _output_errors():
            sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Hands on what was said so far, for a reader that waits for it."""
        with _output_errors():
            sys.stdout.flush()

    def json(self, value: object) -> None:
        """The answer as one JSON document. What is not UTF-8 in names is lone surrogates, as in Python, which few other
        readers take; `outcrop.cli.entry_view.text_document` has a form for all."""
        self._write_line(json.dumps(value, indent=2, ensure_ascii=True))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """The answer as aligned columns, numbers to the right; the headings are for a terminal only."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        shows_headings, coloured = is_terminal(sys.stdout), wants_colour(sys.stdout, os.environ)
        shown = [list(headings), *cells] if shows_headings else cells
        widths = [max((width(row[column]) for row in shown), default=0) for column in range(len(headings))]
        numeric = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(headings))]
        for index, row in enumerate(shown):
            line = _COLUMN_GAP.join(map(_aligned, row, widths, numeric)).rstrip()
            heads = shows_headings and index == 0
            self._write_line(painted(line, Style.HEADING) if heads and coloured else line)

    def note(self, text: str) -> None:
        """Something worth knowing that is not the answer."""
        if not self.quiet:
            self._say(printable(text))

    def warning(self, text: str) -> None:
        """Something that may be wrong, though the work goes on."""
        if not self.quiet:
            self._say(f"{_label('warning:', Style.WARNING)} {printable(text)}")

    def error(self, error: OutcropError) -> int:
        """Tell `error` and its hint; returns the exit code that belongs to it."""
        self._say(f"{_label('error:', Style.ERROR)} {printable(error.message)}")
        if error.hint:
            self.hint(error.hint)
        return error.exit_code

    def hint(self, text: str) -> None:
        """The next thing to type or to look at, after an error."""
        self._say(f"\n{_label('hint:', Style.ACCENT)} {printable(text)}")

    def error_page(self, text: str) -> None:
        """A help page where the answer would have been."""
        self._say((text if wants_colour(sys.stderr, os.environ) else uncoloured(text)).rstrip())

    def internal_error(self, error: Exception) -> None:
        """Tell a fault of ours, with where it happened."""
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._say(f"{_label('error:', Style.ERROR)} a fault in Outcrop itself: {printable(what)}{place}")
        self.hint("please report it; OUTCROP_TRACEBACK=1 shows the whole traceback")

    def progress(self) -> Progress:
        """A listener that shows a bar on a terminal and plain lines elsewhere. `close` ends it, whatever happens."""
        if self.quiet or sys.stderr is None:
            return SILENT
        from outcrop.cli.progress import shown_progress

        self.close()
        self._progress = shown_progress(sys.stderr, os.environ)
        return self._progress

    def close(self) -> None:
        """Takes an unfinished bar off the terminal."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def _write_line(self, text: str) -> None:
        with self._above_progress(), _output_errors():
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
            if is_terminal(sys.stdout):
                sys.stdout.flush()

    def _say(self, text: str) -> None:
        if sys.stderr is None:
            return
        with self._above_progress():
            try:
                sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
                sys.stderr.flush()
            except OSError:
                # Nowhere is left to say so; the exit code still does.
                return

    @contextmanager
    def _above_progress(self) -> Iterator[None]:
        """The bar steps aside while something else is written to the same terminal."""
        if self._progress is None:
            yield
            return
        with self._progress.aside():
            yield


@contextmanager
def _output_errors() -> Iterator[None]:
    if sys.stdout is None:
        raise closed_output()
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise storage_error(error, _OUTPUT) from error


def closed_output() -> StorageError:
    """The error of a program that was started without a standard output."""
    return StorageError(what=_OUTPUT, problem="is closed", hint="to throw the answer away, add `>/dev/null`")


def _label(text: str, style: Style) -> str:
    return painted(text, style) if wants_colour(sys.stderr, os.environ) else text


def _is_number(cell: str) -> bool:
    return bool(cell) and (cell[0].isdigit() or cell == "-") and _NUMBER_CHARACTERS.issuperset(cell)


def _aligned(cell: str, columns: int, numeric: bool) -> str:
    padding = " " * (columns - width(cell))
    return padding + cell if numeric else cell + padding
