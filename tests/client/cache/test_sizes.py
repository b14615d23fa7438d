"""Sizes as people write them."""

from __future__ import annotations

import pytest

from outcrop.client.cache.sizes import parse_limit, parse_size, size_text
from outcrop.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1234", 1234),
        ("7B", 7),
        ("1k", 1024),
        ("500M", 500 * 1024**2),
        ("20G", 20 * 1024**3),
        ("20 GiB", 20 * 1024**3),
        ("20GB", 20 * 1000**3),
        ("1.5T", 3 * 1024**4 // 2),
        (" 4g ", 4 * 1024**3),
    ],
)
def test_sizes_are_understood(text: str, size: int) -> None:
    assert parse_size(text, "the limit") == size


@pytest.mark.parametrize("text", ["", "G", "-1", "4X", "4 GG", "1e9", "a lot", "٣", "999999999P"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValue, match="the limit is"):
        parse_size(text, "the limit")


def test_no_limit_has_a_word() -> None:
    assert parse_limit("none", "the limit") is None
    assert parse_limit("None ", "the limit") is None


def test_limit_too_small_to_read_with_is_refused() -> None:
    with pytest.raises(InvalidValue, match="too little"):
        parse_limit("4000", "OUTCROP_CACHE_LIMIT")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_048_575, "1 MiB"), (4000 * 1024**2, "3.91 GiB")],
)
def test_sizes_are_shown_in_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text
