"""Rewriting bytes: nothing but the places changes, and every change can be undone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.relocate.changes import Change, Place, PlaceKind, Style
from outcrop.client.relocate.examine import examine
from outcrop.client.relocate.places import Context, find_places
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.rewrite import restored, rewritten, size, state_of
from tests.client.relocate.elf_files import ElfPlan

OLD = prefix("/cvmfs/repo.example")
NEW = [prefix(path) for path in ("/s", "/s/x", "/scratch/x", "/scratch/x/y", "/scratch/projects/")]

around = st.lists(
    st.one_of(
        st.binary(max_size=20), st.sampled_from([b"/", b"\0", b"-other", b" ", b"\n", b"/cvmfs/", b"x", b"/s/x"])
    ),
    max_size=3,
).map(b"".join)
contents = st.lists(around, min_size=1, max_size=8).map(OLD.path.join)
styles = st.sampled_from(Style)
targets = st.sampled_from(NEW)


def change_of(data: bytes, style: Style) -> Change:
    places = find_places(data, OLD.path, Context.BINARY).places
    return Change(b"x", style, len(data), tuple(Place(offset, PlaceKind.BINARY) for offset in places))


@pytest.mark.property
@given(contents, styles, targets)
def test_undoing_gives_the_same_bytes(data: bytes, style: Style, target: Prefix) -> None:
    change = change_of(data, style)
    changed = rewritten(data, change, OLD, OLD, target)
    assert rewritten(changed, change, OLD, target, OLD) == data
    assert restored(changed, change, OLD, NEW) == data


@pytest.mark.property
@given(contents, targets)
def test_padding_keeps_size_and_all_other_bytes(data: bytes, target: Prefix) -> None:
    change = change_of(data, Style.PADDED)
    changed = rewritten(data, change, OLD, OLD, target)
    assert len(changed) == len(data)
    inside = {place.offset + number for place in change.places for number in range(len(OLD))}
    assert all(
        one == other for number, (one, other) in enumerate(zip(data, changed, strict=True)) if number not in inside
    )


@pytest.mark.property
@given(contents, styles, targets, targets)
def test_by_way_of_another_prefix_is_the_same(data: bytes, style: Style, first: Prefix, second: Prefix) -> None:
    change = change_of(data, style)
    there = rewritten(data, change, OLD, OLD, first)
    assert rewritten(there, change, OLD, first, second) == rewritten(data, change, OLD, OLD, second)
    assert len(there) == size(change, OLD, first)


@pytest.mark.property
@given(contents, styles, targets)
def test_the_state_is_known(data: bytes, style: Style, target: Prefix) -> None:
    change = change_of(data, style)
    if change.places:
        changed = rewritten(data, change, OLD, OLD, target)
        assert state_of(changed, change, OLD, NEW) == target
        assert state_of(changed, change, OLD, [OLD]) is None


@pytest.mark.property
@given(contents, targets)
def test_examining_the_same_bytes_finds_the_same(data: bytes, target: Prefix) -> None:
    plan = ElfPlan(interpreter=OLD.path + b"/ld.so", data=b"\0" + data)
    examined = examine(b"bin/x", plan.build(), OLD)
    assert examined.change is not None
    changed = rewritten(plan.build(), examined.change, OLD, OLD, target)
    back = restored(changed, examined.change, OLD, [target])
    assert back is not None
    assert examine(b"bin/x", back, OLD) == examined


def test_a_padded_file_whose_change_was_interrupted_is_restored() -> None:
    data = OLD.path + b"/a\0" + OLD.path + b"/b\0"
    change = change_of(data, Style.PADDED)
    half = NEW[0].padded(len(OLD)) + data[len(OLD) :]
    assert state_of(half, change, OLD, [*NEW, OLD]) is None
    assert restored(half, change, OLD, NEW) == data


def test_what_was_written_over_is_not_restored() -> None:
    data = OLD.path + b"/a\0"
    assert restored(b"x" * len(data), change_of(data, Style.PADDED), OLD, NEW) is None
    assert restored(b"longer than before" * 3, change_of(data, Style.EXACT), OLD, NEW) is None
