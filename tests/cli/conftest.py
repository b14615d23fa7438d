"""How the tests of the command line call it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from outcrop.cli.app import run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command line answered."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Outcome]


@pytest.fixture
def outcrop(capsysbinary: pytest.CaptureFixture[bytes], home: object) -> CommandLine:
    """Calls a command line in this process, on a terminal of 80 columns that nobody watches."""
    os.environ["COLUMNS"] = "80"

    def call(*arguments: str) -> Outcome:
        capsysbinary.readouterr()
        code = run(arguments)
        out, err = capsysbinary.readouterr()
        return Outcome(code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"))

    return call
