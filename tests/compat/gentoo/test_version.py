from __future__ import annotations

import pytest

from outcrop.compat.gentoo.version import compare_versions, is_version

ORDERED = [
    "0.9",
    "1.0_alpha",
    "1.0_alpha2",
    "1.0_beta1",
    "1.0_pre1",
    "1.0_rc1",
    "1.0_rc1_p1",
    "1.0",
    "1.0-r1",
    "1.0_p1",
    "1.0a",
    "1.01",
    "1.010.1",
    "1.1",
    "1.9",
    "1.10",
    "1.10.1",
    "2",
]
"""From the specification's rules, oldest first."""


def test_versions_have_the_order_of_the_specification() -> None:
    for place, one in enumerate(ORDERED):
        assert compare_versions(one, one) == 0
        for other in ORDERED[place + 1 :]:
            assert compare_versions(one, other) < 0 < compare_versions(other, one), (one, other)


def test_equal_versions_may_be_written_otherwise() -> None:
    assert compare_versions("1.0-r0", "1.0") == 0
    assert compare_versions("1.0_p", "1.0_p0") == 0


@pytest.mark.parametrize("text", ["9999", "", "1.0-", "1..0", "abc"])
def test_what_does_not_compare_is_no_version(text: str) -> None:
    assert not is_version(text)
