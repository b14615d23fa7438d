"""Variant symlinks: what is filled in, and what stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.variant import expand, is_variant
from tests.cvmfs.strategies import variant_targets

SETTINGS = {b"NAME": b"value", b"EMPTY": b"", b"$(NAME": b"odd"}


@pytest.mark.parametrize(
    ("target", "expanded"),
    [
        (b"plain", b"plain"),
        (b"$(NAME)", b"value"),
        (b"/a/$(NAME)/b", b"/a/value/b"),
        (b"$(NAME)$(NAME)", b"valuevalue"),
        (b"$(OTHER)", b""),
        (b"$(OTHER:-/opt/eessi)", b"/opt/eessi"),
        (b"$(NAME:-default)", b"value"),
        (b"$(EMPTY:-default)", b""),
        (b"$(OTHER:-)", b""),
        (b"$(OTHER:-a:-b)", b"a:-b"),
        (b"$()", b""),
        (b"$(NAME", b"$(NAME"),
        (b"a$(NAME:-b", b"a$(NAME:-b"),
        (b"$NAME", b"$NAME"),
        (b"(NAME)", b"(NAME)"),
        (b"$(NAME) $(", b"value $("),
        (b"$($(NAME)", b"odd"),
        (b"$(OTHER:-$(NAME))", b"$(NAME)"),
        (b"\xff$(NAME)\xff", b"\xffvalue\xff"),
    ],
)
def test_expansion(target: bytes, expanded: bytes) -> None:
    assert expand(target, SETTINGS) == expanded


@pytest.mark.property
@given(variant_targets, st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), max_size=3))
def test_only_variants_change(target: bytes, settings: dict[bytes, bytes]) -> None:
    if not is_variant(target):
        assert expand(target, settings) == target


@pytest.mark.property
@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))
def test_everything_around_stays(before: bytes, value: bytes, after: bytes) -> None:
    target = before.replace(b"$", b"") + b"$(NAME)" + after.replace(b"$", b"")
    assert expand(target, {b"NAME": value}) == before.replace(b"$", b"") + value + after.replace(b"$", b"")
    assert is_variant(target)


def test_many_openings_take_no_long_time() -> None:
    assert expand(b"$(" * 1_000_000, {}) == b"$(" * 1_000_000
    assert expand(b"$(" * 1_000_000 + b")", {}) == b""
