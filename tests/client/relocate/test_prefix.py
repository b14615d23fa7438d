"""Prefixes: what is one, and what has room for which."""

from __future__ import annotations

import pytest

from outcrop.client.relocate.prefix import check_room, prefix
from outcrop.errors import InvalidValue

OLD = prefix("/cvmfs/software.example.org")


def test_slashes_that_make_no_difference_are_left_out() -> None:
    assert prefix("//cvmfs///software.example.org//") == OLD


@pytest.mark.parametrize("text", ["", "/", "//", "cvmfs/x", "./x"])
def test_what_is_no_path_below_the_root_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="not an absolute path below the root"):
        prefix(text)


@pytest.mark.parametrize(
    "text", ["/a b", "/a:b", "/a/$HOME", "/a'b", "/a/../b", "/a/./b", "/ä", "/a\nb", "/a,b", "/a;b"]
)
def test_what_scripts_would_misunderstand_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="misunderstand"):
        prefix(text)


def test_padding_keeps_the_length() -> None:
    assert prefix("/s/x").padded(8) == b"/s/x////"


def test_a_longer_target_is_refused_with_its_limit_and_the_way_out() -> None:
    with pytest.raises(InvalidValue, match="28 bytes") as caught:
        check_room(OLD, prefix("/scratch/project/software/ab"))
    assert "at most 27 bytes" in caught.value.hint
    assert "--link" in caught.value.hint


def test_a_target_of_the_same_length_fits() -> None:
    check_room(OLD, prefix("/scratch/project/software/a"))


def test_a_target_above_the_original_is_refused() -> None:
    with pytest.raises(InvalidValue, match="lies above"):
        check_room(OLD, prefix("/cvmfs"))


def test_only_whole_names_are_held() -> None:
    assert OLD.holds(b"/cvmfs/software.example.org")
    assert OLD.holds(b"/cvmfs/software.example.org/bin")
    assert not OLD.holds(b"/cvmfs/software.example.org-other/bin")
