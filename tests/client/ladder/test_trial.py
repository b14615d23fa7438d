"""Trials end in time, and leave nothing running."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest

from outcrop.client.ladder.trial import tried
from outcrop.errors import NotFound


def test_an_answer_comes_back() -> None:
    assert tried(lambda: "yes").answer == "yes"
    assert tried(lambda: None).succeeded


def test_trouble_comes_back_in_words_and_with_its_number() -> None:
    def fail() -> None:
        os.stat("/nowhere/at/all")

    outcome = tried(fail)
    assert not outcome.succeeded
    assert outcome.errno == errno.ENOENT


def test_an_error_of_ours_comes_back_with_its_hint() -> None:
    def fail() -> None:
        raise NotFound(what="the book", hint="look again")

    outcome = tried(fail)
    assert (outcome.problem, outcome.hint) == ("the book does not exist", "look again")


def test_a_child_that_dies_without_a_word_is_told_of() -> None:
    assert "ended with 3" in tried(lambda: os._exit(3)).problem


@pytest.mark.fault
def test_what_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "note"

    def hang() -> None:
        child = subprocess.Popen(["sleep", "60"])
        note.write_text(str(child.pid))
        time.sleep(60)

    began = time.monotonic()
    outcome = tried(hang, 0.5)
    assert "within 0.5 seconds" in outcome.problem
    assert time.monotonic() - began < 20
    deadline = time.monotonic() + 10
    while Path("/proc", note.read_text(), "exe").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path("/proc", note.read_text(), "exe").exists()
