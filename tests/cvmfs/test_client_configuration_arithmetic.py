"""Arithmetic, as configuration files use it."""

from __future__ import annotations

import pytest

from outcrop.cvmfs.client_configuration_arithmetic import arithmetic
from outcrop.cvmfs.client_configuration_conditions import CannotJudge


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7 % 2", 1),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("N % 2", 1),
        ("UNSET + 1", 1),
        ("010", 8),
        ("1 < 2 && !0", 1),
        ("3 == 3 || 0", 1),
        ("9223372036854775807 + 1", -(2**63)),
    ],
)
def test_arithmetic(text: str, value: int) -> None:
    assert arithmetic(text, lambda name: "5" if name == "N" else "") == value


@pytest.mark.parametrize("text", ["", "1 / 0", "1 +", "(1", "1 2", "a = 1", "1 ? 2 : 3", "T", "09", "0x10", "-(" * 40])
def test_arithmetic_that_cannot_be_judged(text: str) -> None:
    with pytest.raises(CannotJudge):
        arithmetic(text, lambda _name: "text")
