"""Temporary directories go with their process, or at the next occasion if it was killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.errors import StorageError
from outcrop.scratch import scratch_directory

_KILLED = """
import os, signal, sys
from pathlib import Path
from outcrop.scratch import scratch_directory
with scratch_directory("test", Path(sys.argv[1])) as scratch:
    (scratch.directory / "file").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_stays_after_the_block(tmp_path: Path) -> None:
    with scratch_directory("test", tmp_path) as scratch:
        assert scratch.directory.stat().st_mode & 0o777 == 0o700
        (scratch.directory / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_directory("test", tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_what_a_killed_process_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -9
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    with scratch_directory("test", tmp_path) as scratch:
        assert list(tmp_path.iterdir()) == [scratch.directory]


def test_a_directory_that_somebody_works_in_stays(tmp_path: Path) -> None:
    with scratch_directory("test", tmp_path) as first, scratch_directory("test", tmp_path) as second:
        assert sorted(tmp_path.iterdir()) == sorted([first.directory, second.directory])


def test_a_directory_stays_as_long_as_a_program_has_the_lock(tmp_path: Path) -> None:
    left = tmp_path / f"outcrop-test-{os.getuid()}-left"
    left.mkdir()
    lock = os.open(left, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,)) as program:
        os.close(lock)
        with scratch_directory("test", tmp_path):
            assert left.is_dir()
        assert program.stdin is not None
        program.stdin.close()
    with scratch_directory("test", tmp_path):
        assert not left.exists()


def test_directories_for_other_purposes_and_links_stay(tmp_path: Path) -> None:
    other = tmp_path / f"outcrop-other-{os.getuid()}-x"
    other.mkdir()
    link = tmp_path / f"outcrop-test-{os.getuid()}-x"
    link.symlink_to(other)
    with scratch_directory("test", tmp_path):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([other, link])


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"), scratch_directory("test", tmp_path / "nowhere"):
        pass
