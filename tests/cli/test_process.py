"""The process around a command line, as a shell sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.cli import app, process
from outcrop.cli.console import Console
from outcrop.errors import Interrupted, StorageError

OUTCROP = f"{sys.executable} -m outcrop"
MANY = f"{sys.executable} -m tests.cli.long_work many"

pytestmark = pytest.mark.integration


def shell(line: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a line of bash."""
    ended = subprocess.run(["bash", "-c", line], capture_output=True, check=False, env=os.environ | {"COLUMNS": "80"})
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@pytest.mark.parametrize("arguments", ["--version", "--help", "repo create a.example.org", "completion bash"])
def test_closed_output_is_an_error(arguments: str, home: Path) -> None:
    code, out, err = shell(f"{OUTCROP} {arguments} >&-")
    assert (code, out) == (7, "")
    assert err == "error: standard output is closed\n\nhint: to throw the answer away, add `>/dev/null`\n"
    assert not (home / ".local").exists()


@pytest.mark.parametrize("arguments", ["--version", "--help", "repo --help", "completion bash", "detect --json"])
def test_full_output_is_an_error(arguments: str) -> None:
    code, _, err = shell(f"{OUTCROP} {arguments} > /dev/full")
    assert code == 7
    assert err.startswith("error: standard output cannot be written: the disk is full\n\nhint: ")
    assert err.count("\n") == 3


@pytest.mark.parametrize("line", [f"{MANY} | head -n 1", f"{OUTCROP} --help | head -n 1", f"{MANY} | true"])
def test_reader_that_has_enough_is_no_error(line: str) -> None:
    code, _, err = shell(f"{line}; exit ${{PIPESTATUS[0]}}")
    assert code in (0, 141)
    assert err == ""


def test_work_for_a_reader_that_is_gone_ends() -> None:
    assert shell(f"{MANY} | head -n 1; exit ${{PIPESTATUS[0]}}") == (141, "line 0\n", "")


@pytest.mark.parametrize("arguments", ["--nonsense", "repo"])
def test_closed_or_full_error_output_keeps_the_exit_code(arguments: str) -> None:
    assert shell(f"{OUTCROP} {arguments} 2>&-") == (2, "", "")
    assert shell(f"{OUTCROP} {arguments} 2>/dev/full") == (2, "", "")


def test_closed_input_is_not_missed() -> None:
    assert shell(f"{OUTCROP} repo create a.example.org <&- >/dev/null 2>&1")[0] == 0


def test_names_that_are_no_text_are_told_as_they_are(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.tar"
    ended = subprocess.run([sys.executable, "-m", "outcrop", "stack", "build", name], capture_output=True, check=False)
    assert ended.returncode in (1, 7)
    assert b"caf\xe9.tar" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_what_goes_wrong_after_an_interruption_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the middle of a lock's own code surfaces as whatever that makes of it."""
    error = RuntimeError("cannot release un-acquired lock")
    assert app.tell(error, Console()) == process.INTERNAL_ERROR_EXIT_CODE
    monkeypatch.setattr(process, "_INTERRUPTIONS", [signal.SIGINT])
    assert app.tell(error, Console()) == app.tell(OSError(5, "wrong"), Console()) == Interrupted.exit_code
    assert app.tell(StorageError(what="the disk", problem="is full"), Console()) == StorageError.exit_code
    assert "un-acquired" not in capsys.readouterr().err.partition("interrupted")[2]


DROPPED = """
import os, signal, time
from outcrop.cli import process

class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

process.prepare()
try:
    Finalised()
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted", process.was_interrupted())
"""


LOCKING = """
import signal, sys, threading, time
from outcrop.cli import process
process.prepare()
kept, deadline = 0, time.monotonic() + 2
while time.monotonic() < deadline:
    condition = threading.Condition()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        while True:
            with condition:
                pass
    except KeyboardInterrupt:
        thread = threading.Thread(target=lambda: taken.append(condition.acquire(timeout=1)))
        taken = []
        thread.start()
        thread.join()
        kept += taken != [True]
sys.exit(kept)
"""


def test_an_interruption_leaves_no_lock_taken() -> None:
    ended = subprocess.run([sys.executable, "-c", LOCKING], capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_interruption_that_python_drops_comes_again() -> None:
    ended = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted True\n", "")


def test_other_errors_that_python_drops_are_told() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DROPPED.replace("os.kill(os.getpid(), signal.SIGINT)", "1 / 0").replace("10", "0")],
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0
    assert "ZeroDivisionError" in ended.stderr
