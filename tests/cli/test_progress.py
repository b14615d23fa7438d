"""Progress is seen where somebody looks, and never disturbs the answer."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from outcrop.cli.progress import (
    PLAIN_INTERVAL_SECONDS,
    BarProgress,
    PlainProgress,
    position,
    shown_progress,
    size,
    time_left,
)

WORK = [sys.executable, "-m", "tests.cli.long_work"]
HIDDEN_CURSOR = b"\x1b[?25l"
SECONDS_TO_START = 20.0


class Clock:
    """Time that passes on request, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_short_stage_says_nothing_in_a_log() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock())
    progress.start("reading", 2)
    progress.advance(2)
    progress.finish()
    assert stream.getvalue() == ""


def test_long_stage_says_now_and_then_where_it_is() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    progress.start("storing", 3_000_000, "bytes")
    for _ in range(3):
        clock.now += PLAIN_INTERVAL_SECONDS / 2
        progress.advance(1_000_000)
    progress.finish()
    assert stream.getvalue().splitlines() == [
        "storing: 2.0 MB / 3.0 MB after 5 s, about 2 s left",
        "storing: 3.0 MB / 3.0 MB after 8 s, done",
    ]


def test_finish_without_a_start_is_harmless() -> None:
    for progress in (PlainProgress(io.StringIO()), BarProgress(io.StringIO())):
        progress.advance()
        progress.finish()
        progress.close()


def test_dumb_terminal_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(shown_progress(Terminal(), {"TERM": "dumb"}), PlainProgress)
    assert isinstance(shown_progress(Terminal(), {"TERM": "xterm"}), BarProgress)
    assert isinstance(shown_progress(io.StringIO(), {"TERM": "xterm"}), PlainProgress)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (7 * 10**15, "7000.0 TB"),
    ],
)
def test_size(amount: int, shown: str) -> None:
    assert size(amount) == shown


def test_position() -> None:
    assert position(1200, None, "files") == "1,200 files"
    assert position(1200, 3400, "files") == "1,200 / 3,400 files"
    assert position(0, 0, "bytes") == "0 B"


def watched(kind: str, stop: signal.Signals | None = None) -> tuple[int, bytes, bytes]:
    """Run work whose standard error is a terminal: its exit code, its answer, all that the terminal was sent."""
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([*WORK, kind], stdout=subprocess.PIPE, stderr=its_end, env=environment) as process:
        os.close(its_end)
        if stop is not None:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.3)  # the bar is drawn ten times a second
            process.send_signal(stop)
        shown = b""
        while True:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        assert process.stdout is not None
        answer = process.stdout.read()
        code = process.wait(SECONDS_TO_START)
    os.close(terminal)
    return code, answer, shown


def last_lines(shown: bytes) -> list[str]:
    """What stands on a terminal at the end, of the lines that were not erased."""
    lines: list[str] = [""]
    for part in re.split(rb"(\r\n|\r|\x1b\[2K|\x1b\[1A|\x1b\[[0-9;]*m)", shown):
        if part == b"\r\n":
            lines.append("")
        elif part == b"\x1b[1A":
            lines.pop()
        elif part in (b"\r", b"\x1b[2K"):
            lines[-1] = ""
        elif not part.startswith(b"\x1b"):
            lines[-1] += part.decode()
    return lines


@pytest.mark.integration
def test_bar_leaves_only_what_was_said() -> None:
    code, answer, shown = watched("finish")
    assert (code, answer) == (0, b"an answer in the middle\ndone\n")
    assert b"counting" in shown
    assert HIDDEN_CURSOR not in shown
    assert [line for line in last_lines(shown) if line] == ["a note in the middle"]


@pytest.mark.integration
def test_bar_disappears_before_an_error() -> None:
    code, _, shown = watched("fail")
    assert code == 6
    assert last_lines(shown)[-4:-2] == ["error: http://server.example.org cannot be reached", ""]
    assert "counting" not in "".join(last_lines(shown))


@pytest.mark.integration
def test_bar_disappears_before_a_fault() -> None:
    code, _, shown = watched("fault")
    assert code == 70
    assert "counting" not in "".join(last_lines(shown))


@pytest.mark.integration
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda stop: stop.name)
def test_stopped_work_says_so_and_leaves_the_terminal_clean(stop: signal.Signals) -> None:
    code, _, shown = watched("wait", stop)
    assert code == 130
    assert "error: stopped" in last_lines(shown)
    assert "counting" not in "".join(last_lines(shown))
    assert HIDDEN_CURSOR not in shown


@pytest.mark.fault
def test_killed_work_leaves_the_cursor_visible() -> None:
    code, _, shown = watched("killed", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert HIDDEN_CURSOR not in shown


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (50, 100, 40, ", about 40 s left"),
        (1, 100, 10, ", about 16 min left"),
        (1, 1000, 10, ", about 3 h left"),
        (0, 100, 5, ""),
        (100, 100, 5, ""),
        (5, None, 5, ""),
    ],
)
def test_the_time_left_is_said_where_it_can_be_known(done: int, total: int | None, seconds: float, said: str) -> None:
    assert time_left(done, total, seconds) == said
