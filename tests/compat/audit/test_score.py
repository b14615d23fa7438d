"""Scores of CVSS, and words for how bad a fault is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.audit.faults import Severity
from outcrop.compat.audit.score import base_score, score_severity, word_severity


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N", 5.4),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
    ],
)
def test_a_vector_of_any_version_has_its_score(vector: str, score: float) -> None:
    assert base_score(vector) == score


@pytest.mark.parametrize(
    "vector", ["", "9.8", "CVSS:3.1", "CVSS:3.1/AV:N", "CVSS:9/AV:N", "CVSS:3.1/" + "AV:N/" * 1000]
)
def test_what_is_no_vector_has_no_score(vector: str) -> None:
    assert base_score(vector) is None


@pytest.mark.property
@given(
    st.sampled_from(["", "CVSS:3.1/", "CVSS:4.0/"]),
    st.lists(
        st.sampled_from(["AV:N", "AC:L", "S:C", "C:H", ":", "A:", "AT:P", "E:X", "\0", "PR:N:N", "VC:H"]), max_size=14
    ),
)
def test_no_vector_is_an_error(start: str, parts: list[str]) -> None:
    score = base_score(start + "/".join(parts))
    assert score is None or 0 <= score <= 10


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (10.0, Severity.CRITICAL),
        (9.0, Severity.CRITICAL),
        (8.9, Severity.HIGH),
        (7.0, Severity.HIGH),
        (4.0, Severity.MEDIUM),
        (3.9, Severity.LOW),
        (0.0, Severity.LOW),
    ],
)
def test_scores_have_the_standard_s_names(score: float, severity: Severity) -> None:
    assert score_severity(score) is severity


@pytest.mark.parametrize(
    ("word", "severity"),
    [("MODERATE", Severity.MEDIUM), ("CRITICAL", Severity.CRITICAL), ("new", Severity.UNKNOWN), (7, Severity.UNKNOWN)],
)
def test_words_of_databases_are_known(word: object, severity: Severity) -> None:
    assert word_severity(word) is severity
