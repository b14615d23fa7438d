"""What is wrong with a command line is told in one sentence, with the next thing to type."""

from __future__ import annotations

import os

import pytest
from syrupy.assertion import SnapshotAssertion

from outcrop import errors
from outcrop.cli.app import tell
from outcrop.cli.console import Console
from tests.cli.conftest import CommandLine

WRONG = {
    "unknown command": ["nonsense"],
    "mistyped command": ["rep"],
    "verb without its noun": ["ingest"],
    "unknown verb": ["repo", "frobnicate"],
    "mistyped verb": ["repo", "lgo"],
    "unknown option": ["repo", "log", "--frobnicate"],
    "mistyped option": ["repo", "log", "--jso"],
    "unknown option of the whole": ["--frobnicate"],
    "missing argument": ["repo", "log"],
    "too many arguments": ["repo", "log", "software.example.org", "more"],
    "option without its value": ["repo", "serve", "--port"],
    "value of the wrong kind": ["repo", "serve", "--port", "x"],
    "value out of range": ["repo", "log", "software.example.org", "-n", "0"],
    "value that is none of the choices": ["repo", "create", "software.example.org", "--hash", "md5"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_wrong_command_line(arguments: list[str], outcrop: CommandLine, snapshot: SnapshotAssertion) -> None:
    outcome = outcrop(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == snapshot


def test_wrong_variable_is_named(outcrop: CommandLine, snapshot: SnapshotAssertion) -> None:
    os.environ["OUTCROP_REPO_SERVE_PORT"] = "x"
    outcome = outcrop("repo", "serve")
    assert outcome.code == 2
    assert outcome.err == snapshot


def test_error_is_a_sentence_and_a_hint(outcrop: CommandLine, snapshot: SnapshotAssertion) -> None:
    outcome = outcrop("repo", "log", "missing.example.org")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == snapshot


def test_fault_of_ours_asks_to_be_reported(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        raise ZeroDivisionError("nobody expected it")
    assert tell(raised.value, Console()) == 70
    told = capsysbinary.readouterr().err.decode()
    assert told.startswith("error: a fault in Outcrop itself: ZeroDivisionError: nobody expected it (test_errors.py:")
    assert "\n\nhint: please report it; OUTCROP_TRACEBACK=1 shows the whole traceback\n" in told


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.TrustError(what="the manifest", problem="its signature is wrong"), 4),
        (PermissionError(13, "Permission denied", "/srv/cvmfs"), 7),
        (BrokenPipeError(32, "Broken pipe"), 7),
        (KeyboardInterrupt(), 130),
    ],
    ids=["ours", "of the system", "a pipe that is not our output", "Ctrl-C"],
)
def test_every_ending_has_its_exit_code(
    error: BaseException, code: int, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert tell(error, Console()) == code
    out, err = capsysbinary.readouterr()
    assert out == b""
    assert err.startswith(b"error: ")


def test_exit_codes_are_distinct() -> None:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    special = [kind.exit_code for kind in kinds if issubclass(kind, errors.OutcropError) and kind.exit_code != 1]
    assert len(special) == len(set(special))


def test_traceback_is_shown_on_request(outcrop: CommandLine) -> None:
    os.environ["OUTCROP_TRACEBACK"] = "1"
    outcome = outcrop("repo", "log", "missing.example.org")
    assert outcome.code == 1
    assert "Traceback (most recent call last):" in outcome.err
    assert "\nerror: " in outcome.err
