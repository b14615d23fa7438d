"""deb-version(7): "the sorting algorithm"."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.compat.debian.version import compare_versions, version_key

DPKG = shutil.which("dpkg")

ASCENDING = (
    # The manual page's own example, then what packages are called.
    ("~~", "~~a", "~", "", "a"),
    ("1.0~beta1~svn1245", "1.0~beta1", "1.0", "1.0a", "1.0+b1", "1.0.1"),
    ("0.9.9", "0.9.10", "0.10", "1"),
    ("1.0~rc1-1", "1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1.1", "1.0-2"),
    ("9", "1:0.1", "2:0"),
    ("2.36-9+deb12u7", "2.36-9+deb12u10", "2.41-12"),
    ("1-1-1", "1-2-1", "1.0"),
    ("1.a", "1.b", "1.+", "1.--1", "1.."),
)

EQUAL = (
    ("1.0", "0:1.0"),
    ("1.0", "1.0-0"),
    ("1.0", "1.00"),
    ("1.0-1", "1.0-01"),
    ("1.", "1.0"),
    ("1.0a", "1.0a0"),
    ("000:1.0", "1.0"),
)

DIGITS = "0123456789"
UPSTREAM = st.tuples(st.sampled_from(DIGITS), st.text(DIGITS + "abzAZ.+~", max_size=6)).map("".join)
REVISION = st.text(DIGITS + "abzAZ.+~", min_size=1, max_size=4)


def whole(epoch: int | None, upstream: str, hyphened: str, revision: str) -> str:
    """A version as deb-version(7) allows it: a hyphen in the upstream version only where a revision follows."""
    text = upstream if not revision else f"{upstream}{hyphened}-{revision}"
    return text if epoch is None else f"{epoch}:{text}"


VERSIONS = st.builds(
    whole,
    st.none() | st.integers(0, 12),
    UPSTREAM,
    st.just("") | UPSTREAM.map(lambda text: f"-{text}"),
    st.just("") | REVISION,
)


@pytest.mark.parametrize("versions", ASCENDING, ids=lambda versions: versions[-1])
def test_versions_have_the_order_of_the_manual(versions: tuple[str, ...]) -> None:
    for lower, higher in pairwise(versions):
        assert compare_versions(lower, higher) < 0, (lower, higher)
        assert compare_versions(higher, lower) > 0, (lower, higher)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_what_is_written_differently_may_be_the_same_version(one: str, other: str) -> None:
    assert compare_versions(one, other) == 0
    assert version_key(one) == version_key(other)


def test_numbers_have_no_limit() -> None:
    assert compare_versions("20240101120000999999999999", "20240101120001000000000000") < 0


@pytest.mark.property
@given(VERSIONS, VERSIONS)
def test_the_order_is_antisymmetric(one: str, other: str) -> None:
    assert compare_versions(one, other) == -compare_versions(other, one)
    assert compare_versions(one, one) == 0


@pytest.mark.property
@given(st.lists(VERSIONS, min_size=3, max_size=3))
def test_the_order_is_transitive(versions: list[str]) -> None:
    low, middle, high = sorted(versions, key=version_key)
    assert compare_versions(low, middle) <= 0
    assert compare_versions(middle, high) <= 0
    assert compare_versions(low, high) <= 0


@pytest.mark.property
@given(VERSIONS, st.text("abz+~.", min_size=1, max_size=2))
def test_a_tilde_sorts_before_the_end_and_everything_else_after_it(version: str, end: str) -> None:
    wanted = -1 if end.startswith("~") else 1
    assert compare_versions(f"{version}{end}1", version) == wanted


@pytest.mark.integration
@pytest.mark.property
@pytest.mark.skipif(DPKG is None, reason="dpkg, which these versions are compared with, is not installed")
@settings(max_examples=60)
@given(VERSIONS, VERSIONS)
def test_the_order_is_that_of_dpkg(one: str, other: str) -> None:
    assert DPKG is not None
    for operator, holds in (("lt", (-1,)), ("eq", (0,)), ("gt", (1,))):
        said = subprocess.run([DPKG, "--compare-versions", one, operator, other], check=False).returncode == 0
        assert said == (compare_versions(one, other) in holds), (one, operator, other)


def test_a_number_may_have_any_number_of_digits() -> None:
    long = "9" * 5000
    assert compare_versions(f"{long}:1", "1:1") > 0
    assert compare_versions(f"1.{long}", f"1.{long}0") < 0
    assert compare_versions("²:1", "0:1") == 0
