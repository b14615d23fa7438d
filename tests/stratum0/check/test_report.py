"""What a check says in the end, as one sentence."""

from __future__ import annotations

import pytest

from outcrop.stratum0.check.problems import Kind, Problem
from outcrop.stratum0.check.report import CheckReport, Depth
from tests.stratum0.conftest import NAME


@pytest.mark.parametrize(
    ("kind", "number", "words"),
    [
        (Kind.ENTRY, 1, "1 place contradicts the format"),
        (Kind.ENTRY, 2, "2 places contradict the format"),
        (Kind.MISSING, 1, "1 file is gone or altered"),
        (Kind.MISSING, 1200, "1,200 files are gone or altered"),
    ],
)
def test_one_and_many_are_told_in_their_grammar(kind: Kind, number: int, words: str) -> None:
    problems = tuple(Problem(kind, f"is wrong {count}") for count in range(number))
    assert words in str(CheckReport(NAME, Depth.EXISTENCE, problems).error())
