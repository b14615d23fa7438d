from __future__ import annotations

from outcrop.software.build_log import (
    BuildEvent,
    EventKind,
    command_output_path,
    error_of,
    meaningful_lines,
    parse_events,
)


def test_a_damaged_line_is_left_out_and_one_that_is_still_being_written_is_read_later() -> None:
    first = b'{"event": "beg\n{"event": "begun", "module": "lz4/1.9.4"}\n'
    events, length = parse_events(first + b'{"event": "en')
    assert events == (BuildEvent(EventKind.BEGUN, "lz4/1.9.4"),)
    assert length == len(first)


def test_the_output_of_the_failed_command_is_found_behind_colours() -> None:
    log = "\x1b[1;33m    output (stdout + stderr)  ->  /tmp/tmp/eb-1/make-2/out.txt\x1b[0m\n"
    assert command_output_path(log) == "/tmp/tmp/eb-1/make-2/out.txt"
    assert command_output_path("all is well") is None


def test_the_last_error_is_easybuilds_own_word() -> None:
    assert (
        error_of("ERROR: first\nwords\n\x1b[31mERROR: Installation of x failed\x1b[0m\n") == "Installation of x failed"
    )
    assert error_of("== building") == ""


def test_the_first_real_error_is_shown_although_make_went_on() -> None:
    output = ["cc a.c"] * 50 + ["b.c: warning: fatal attraction", "a.c:1: error: no"] + ["cc more.c"] * 50
    shown = meaningful_lines("\n".join(output), limit=4)
    assert shown == ("cc a.c", "b.c: warning: fatal attraction", "a.c:1: error: no", "cc more.c")


def test_without_a_telling_line_the_last_ones_are_shown() -> None:
    assert meaningful_lines("one\n\ntwo\n\nthree\n", limit=2) == ("two", "three")
