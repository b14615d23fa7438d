"""Equal files become one; nothing that could be told apart does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from outcrop.compat.equal_files import join_equal_files
from outcrop.compat.record import layer_digest

SIZE = 5000


def written(path: Path, data: bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_equal_files_are_one_and_the_layer_is_the_same(tmp_path: Path) -> None:
    first = written(tmp_path / "a/one", b"x" * SIZE)
    second = written(tmp_path / "b/two", b"x" * SIZE)
    os.link(second, tmp_path / "b/three")
    other = written(tmp_path / "b/other", b"y" * SIZE)
    os.utime(first, (1, 1))
    before = layer_digest(tmp_path)
    assert join_equal_files(tmp_path) == SIZE
    assert first.samefile(second)
    assert first.samefile(tmp_path / "b/three")
    assert not first.samefile(other)
    assert second.stat().st_mtime == 1
    assert layer_digest(tmp_path) == before
    assert join_equal_files(tmp_path) == 0


def test_a_program_and_a_text_stay_two_files(tmp_path: Path) -> None:
    written(tmp_path / "program", b"x" * SIZE, 0o755)
    written(tmp_path / "text", b"x" * SIZE)
    assert join_equal_files(tmp_path) == 0


def test_small_files_and_links_are_left_alone(tmp_path: Path) -> None:
    first = written(tmp_path / "one", b"small")
    second = written(tmp_path / "two", b"small")
    (tmp_path / "link").symlink_to("one")
    assert join_equal_files(tmp_path) == 0
    assert not first.samefile(second)
    assert (tmp_path / "link").is_symlink()


def test_where_links_are_refused_files_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    first = written(tmp_path / "a/one", b"x" * SIZE)
    second = written(tmp_path / "b/two", b"x" * SIZE)
    monkeypatch.setattr(os, "link", refused)
    assert join_equal_files(tmp_path) == 0
    assert second.read_bytes() == first.read_bytes()
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", "one", "two"}
