"""One process at a time, and never nobody for ever."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.cache.lock import ABANDONED_SECONDS, FileLock
from outcrop.client.cache.members import Member
from outcrop.client.cache.pins import Pins, pinned_objects, remove_void_pins

NOW = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evicting"


def lock(path: Path, now: float = NOW) -> FileLock:
    return FileLock(os.fsencode(path), lambda: now)


def left_by(path: Path, member: Member, renewed_at: float = NOW) -> None:
    path.write_text(member.name)
    os.utime(path, (renewed_at, renewed_at))


def test_second_one_waits_for_the_first(path: Path) -> None:
    first, second = lock(path), lock(path)
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()


def test_lock_of_a_dead_process_is_broken_at_once(path: Path) -> None:
    left_by(path, replace(Member.current(), process=4_000_000))
    assert lock(path).take()
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "content",
    [Member.current().name.replace(Member.current().machine, "0" * 12), ""],
    ids=["of another machine", "empty"],
)
def test_lock_from_elsewhere_is_broken_when_nobody_renews_it(path: Path, content: str) -> None:
    path.write_text(content)
    os.utime(path, (NOW, NOW))
    assert not lock(path, NOW + ABANDONED_SECONDS - 1).take()
    assert lock(path, NOW + ABANDONED_SECONDS + 1).take()


def test_renewed_lock_is_not_abandoned(path: Path) -> None:
    left_by(path, replace(Member.current(), machine="0" * 12))
    lock(path, NOW + ABANDONED_SECONDS).renew()
    assert not lock(path, NOW + ABANDONED_SECONDS + 1).take()


def test_lock_that_was_broken_is_not_released_for_the_next_one(path: Path) -> None:
    first = lock(path)
    first.take()
    path.unlink()
    assert lock(path).take()
    first.release()
    assert path.exists()


# Pins.


def test_pins_last_until_they_are_let_go(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    pins = Pins(root)
    for name in (b"00/a", b"00/b", b"00/a", b"01/c"):
        pins.add(name)
    assert pinned_objects(root, NOW) == {b"00/a", b"00/b", b"01/c"}
    pins.keep_only([b"01/c", b"ff/unknown"])
    assert pinned_objects(root, NOW) == {b"01/c"}
    pins.release()
    assert pinned_objects(root, NOW) == set()
    assert list((tmp_path / ".outcrop" / "pins").iterdir()) == []


def test_pins_of_the_dead_are_void(tmp_path: Path) -> None:
    root, living = os.fsencode(tmp_path), Pins(os.fsencode(tmp_path))
    living.add(b"00/living")
    dead = tmp_path / ".outcrop" / "pins" / replace(Member.current(), process=4_000_000).name
    dead.write_bytes(b"00/dead\n")
    assert pinned_objects(root, NOW) == {b"00/living"}
    remove_void_pins(root, NOW)
    assert not dead.exists()
    assert pinned_objects(root, NOW) == {b"00/living"}


def test_list_that_somebody_removed_is_written_again(tmp_path: Path) -> None:
    root, pins = os.fsencode(tmp_path), Pins(os.fsencode(tmp_path))
    pins.add(b"00/a")
    next((tmp_path / ".outcrop" / "pins").iterdir()).unlink()
    pins.add(b"00/b")
    assert pinned_objects(root, NOW) == {b"00/a", b"00/b"}


def test_cache_that_cannot_be_written_has_no_pins(tmp_path: Path) -> None:
    (tmp_path / ".outcrop").touch()
    Pins(os.fsencode(tmp_path)).add(b"00/a")
    assert pinned_objects(os.fsencode(tmp_path), NOW) == set()
