"""A copy that is not what it was is found out, whatever happened to it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.ladder.copy_contents import (
    LOOK_SECONDS,
    damaged,
    is_due,
    look_next_time,
    next_look,
    write_down,
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    top = tmp_path / "copy"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "tool").write_text("tool")
    (top / "large").write_bytes(b"x" * 200_000)
    (top / "link").symlink_to("bin/tool")
    (top / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(top / "pipe")
    write_down(top, record(top))
    return top


def record(copy: Path) -> Path:
    return copy.with_suffix(".files")


def test_copy_that_nobody_touched_is_sound(copy: Path) -> None:
    assert damaged(copy, record(copy)) == ""


def edit(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"e")


def edit_with_the_old_time(path: Path) -> None:
    before = path.stat()
    edit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("bin/toot")


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bin/tool", edit),
        ("bin/tool", edit_with_the_old_time),
        ("large", edit_with_the_old_time),
        ("large", Path.unlink),
        ("bin/tool", become_a_directory),
        ("bin/tool", lambda path: path.chmod(0o4755)),
        ("link", relink),
        ("pipe", Path.unlink),
        ("bin", shutil.rmtree),
    ],
)
def test_what_changed_is_named(copy: Path, name: str, change: Callable[[Path], object]) -> None:
    change(copy / name)
    assert damaged(copy, record(copy)).startswith(name)


def test_what_was_added_or_only_looks_changed_is_left_alone(copy: Path) -> None:
    (copy / "bin" / "__pycache__").mkdir()
    (copy / "bin" / "tool").chmod(0o600)
    (copy / "bin" / "tool").chmod(0o644)
    shutil.copy2(copy / "large", copy / "new")
    (copy / "new").rename(copy / "large")
    assert damaged(copy, record(copy)) == ""


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x91\x01"])
def test_record_that_is_none_vouches_for_nothing(copy: Path, data: bytes) -> None:
    record(copy).write_bytes(data)
    assert damaged(copy, record(copy)) == "?"
    record(copy).unlink()
    assert damaged(copy, record(copy)) == "?"


def test_a_look_is_due_after_a_while(copy: Path) -> None:
    assert not is_due(record(copy))
    assert next_look(record(copy)) > time.time()
    os.utime(record(copy), (0, time.time() - LOOK_SECONDS - 1))
    assert is_due(record(copy))
    assert damaged(copy, record(copy)) == ""
    assert not is_due(record(copy))
    look_next_time(record(copy))
    assert is_due(record(copy))
    os.utime(record(copy), (0, time.time() + 3600))
    assert is_due(record(copy))
    record(copy).unlink()
    assert is_due(record(copy))
