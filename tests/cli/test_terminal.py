"""What a terminal is shown."""

from __future__ import annotations

import io

import pytest

from outcrop.cli.terminal import Style, is_terminal, one_line, painted, printable, uncoloured, wants_colour, width


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "watched", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
    ids=str,
)
def test_colours(environment: dict[str, str], watched: bool, coloured: bool) -> None:
    assert wants_colour(Terminal() if watched else io.StringIO(), environment) is coloured


def test_stream_that_is_closed_or_missing_is_no_terminal() -> None:
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed)
    assert not is_terminal(None)


def test_text_of_strangers_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\x07\x9b1m") == "a\\x1b[2Jb\\x07\\x9b1m"
    assert printable("evil\u202egnp.exe") == "evil\\u202egnp.exe"
    assert printable("two\nlines\tof Grüße") == "two\nlines\tof Grüße"
    assert one_line("two\nlines\tof\r") == "two\\nlines\\tof\\x0d"


def test_undecodable_bytes_stay() -> None:
    assert printable("caf\udce9") == "caf\udce9"


def test_colours_can_be_taken_away() -> None:
    assert uncoloured(painted("text", Style.ERROR)) == "text"


@pytest.mark.parametrize(("text", "columns"), [("plain", 5), ("Grüße", 5), ("漢字", 4), ("e\u0301", 1), ("", 0)])
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns
