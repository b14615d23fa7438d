"""How commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence

from outcrop.errors import OutcropError
from outcrop.progress import SILENT, Progress


class Console:
    """One command's voice. `quiet` keeps notes, warnings and progress back; errors are always said."""

    def __init__(self) -> None:
        self.quiet = False

    def result(self, text: str) -> None:
        """One line of the answer, to standard output. Undecodable bytes of names come out as they went in."""
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def flush(self) -> None:
        """Hands on what was said so far, for a reader that waits for it."""
        sys.stdout.flush()

    def json(self, value: object) -> None:
        """The answer as one JSON document."""
        self.result(json.dumps(value, indent=2, ensure_ascii=True))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """The answer as aligned columns, without headings when there is no terminal."""
        all_rows = [list(row) for row in rows]
        if sys.stdout.isatty():
            all_rows.insert(0, list(headings))
        widths = [max((len(row[i]) for row in all_rows), default=0) for i in range(len(headings))]
        for row in all_rows:
            self.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def note(self, text: str) -> None:
        """Something worth knowing that is not the answer."""
        if not self.quiet:
            self._say(text)

    def warning(self, text: str) -> None:
        """Something that may be wrong, though the work goes on."""
        if not self.quiet:
            self._say(f"{self._paint('33', 'warning:')} {text}")

    def error(self, error: OutcropError) -> int:
        """Tell `error` and its hint; returns the exit code that belongs to it."""
        self._say(f"{self._paint('31;1', 'error:')} {error.message}")
        if error.hint:
            self._say(f"\n{self._paint('36', 'hint:')} {error.hint}")
        return error.exit_code

    def internal_error(self, error: Exception) -> None:
        """Tell a fault of ours, with where it happened."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        self._say(
            f"{self._paint('31;1', 'error:')} a fault in outcrop itself: {type(error).__name__}: {error} "
            f"({os.path.basename(place.filename)}:{place.lineno})"
        )
        self._say("\nhint: please report it; OUTCROP_TRACEBACK=1 shows the whole traceback")

    def progress(self) -> Progress:
        """A listener that shows a bar on a terminal and plain lines elsewhere."""
        if self.quiet:
            return SILENT
        from outcrop.cli.progress import shown_progress

        return shown_progress()

    def _say(self, text: str) -> None:
        sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
        sys.stderr.flush()

    @staticmethod
    def _paint(code: str, text: str) -> str:
        if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
            return f"\x1b[{code}m{text}\x1b[0m"
        return text
