"""Programs that are really traced: what they read is recorded, and they do not notice."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outcrop.client.trace.recorder import LocalFiles, Recorder, Watched
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import MissingCapability, NotFound
from outcrop.strace.asked_paths import AccessKind
from outcrop.strace.run import find_tracer, run_traced

BOOKS = RepositoryName("books.example.org")
installed = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

pytestmark = pytest.mark.integration


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """A tree as it would be mounted."""
    tree = tmp_path / "cvmfs" / BOOKS
    (tree / "shelf").mkdir(parents=True)
    (tree / "shelf" / "one").write_text("1")
    (tree / "latest").symlink_to("shelf")
    script = tree / "script"
    script.write_text(f"#!{tree}/sh\ncat {tree}/latest/one >/dev/null\n")
    script.chmod(0o755)
    (tree / "sh").symlink_to("/bin/sh")
    return tree


def traced(books: Path, *command: str) -> tuple[int, set[tuple[str, str, bool]]]:
    """The exit code of `command`, and what it read."""
    recorder = Recorder(Watched(books.parent), LocalFiles())
    code = run_traced(find_tracer(), command, recorder.record)
    return code, {(one.kind.value, one.path.decode(), one.found) for one in recorder.accesses}


@installed
def test_program_and_its_children_are_recorded(books: Path) -> None:
    code, found = traced(books, "sh", "-c", f"cd {books}/latest && cat one two 2>/dev/null; {books}/script; exit 7")
    assert code == 7
    assert {
        ("readlink", "/latest", True),
        ("open", "/shelf/one", True),
        ("open", "/shelf/two", False),
        ("exec", "/script", True),
        ("readlink", "/sh", True),
    } <= found


@installed
def test_listed_directories_are_told_apart_from_opened_ones(books: Path) -> None:
    _, found = traced(books, sys.executable, "-c", f"import os; os.listdir({str(books / 'shelf')!r})")
    assert (AccessKind.DIRECTORY.value, "/shelf", True) in found
    assert not [one for one in found if one[1] == "/shelf/one"]


@installed
def test_signal_that_ended_the_program_is_in_the_exit_code(books: Path) -> None:
    assert traced(books, "sh", "-c", "kill -KILL $$")[0] == 128 + signal.SIGKILL


@installed
def test_program_that_does_not_exist(books: Path) -> None:
    with pytest.raises(NotFound, match="the program nosuch"):
        traced(books, "nosuch")


def test_missing_strace_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="strace is not installed"):
        find_tracer(str(tmp_path / "strace"))


def test_strace_that_may_not_trace_is_said(tmp_path: Path) -> None:
    strace = tmp_path / "strace"
    strace.write_text("#!/bin/sh\necho 'strace: ptrace: Operation not permitted' >&2\nexit 1\n")
    strace.chmod(strace.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(MissingCapability, match="Operation not permitted"):
        find_tracer(str(strace))


PROGRAM = """
import sys
from pathlib import Path
from outcrop.client.trace.recorder import LocalFiles, Recorder, Watched
from outcrop.strace.run import find_tracer, run_traced
sys.exit(run_traced(find_tracer(), sys.argv[1:], Recorder(Watched(Path("/cvmfs")), LocalFiles()).record))
"""


@installed
def test_request_to_end_reaches_the_program(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    script = f"trap 'exit 9' TERM; touch {begun}; while :; do sleep 0.05; done"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "sh", "-c", script]) as process:
        deadline = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 9
