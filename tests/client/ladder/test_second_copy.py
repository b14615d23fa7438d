"""The second copy of a tree: what it keeps, and what stays of the first one."""

from __future__ import annotations

import os
import socket
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.ladder.second_copy import second_copy
from outcrop.errors import StorageError
from tests.client.ladder.confined import NOBODY

AGE = 1_500_000_000_123_456_789
Look = tuple[int, int, int, bytes]


def looks(tree: Path) -> dict[str, Look]:
    """Kind and mode, time, number of names and contents of everything in `tree`, as root sees them."""
    return {str(path.relative_to(tree)): _look(path) for path in (tree, *tree.rglob("*"))}


def _look(path: Path) -> Look:
    status = path.lstat()
    content = b""
    if stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    return status.st_mode, status.st_mtime_ns, status.st_nlink, content


def make_tree(tree: Path) -> Path:
    (tree / "closed").mkdir(parents=True)
    (tree / "closed" / "inner").mkdir()
    (tree / "closed" / "inner" / "file").write_text("seen by nobody")
    (tree / "one").write_text("two names")
    os.link(tree / "one", tree / "closed" / "two")
    (tree / "secret").write_text("mode 000")
    (tree / "program").write_text("#!/bin/sh\n")
    (tree / "program").chmod(0o4755)
    (tree / "link").symlink_to("nowhere")
    os.mkfifo(tree / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "socket"))
    for path in (*tree.rglob("*"), tree):
        os.utime(path, ns=(AGE, AGE), follow_symlinks=False)
    for closed in ("secret", "closed/inner/file", "closed/inner", "closed"):
        (tree / closed).chmod(0)
    tree.chmod(0o555)
    return tree


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The first copy, and the directory of the second one, both of them `NOBODY`'s where that can be done."""
    tree, place = make_tree(tmp_path / "first"), tmp_path / "second"
    place.mkdir()
    if os.geteuid() == 0:
        for path in (tree, place, *tree.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        # The kernel takes the mark of a privileged program from a file that gets another owner.
        (tree / "program").chmod(0o4755)
    return tree, place


def as_nobody(directory: Path, work: Callable[[Path], None]) -> None:
    """Does `work` in a process of an ordinary user, on `directory` by a path that this user can go."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.fchdir(descriptor)
            work(Path())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_keeps_everything_and_can_read_everything_meanwhile(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = places
    before = looks(first)

    def work(directory: Path) -> None:
        place = directory / second.name
        with second_copy(directory / first.name, place):
            assert (place / "secret").read_text() == "mode 000"
            assert (place / "closed" / "inner" / "file").read_text() == "seen by nobody"
            (place / "closed" / "inner" / "new").touch()
            (place / "closed" / "inner" / "new").unlink()
            os.utime(place / "closed" / "inner", ns=(AGE, AGE))

    tmp_path.chmod(0o755)
    as_nobody(tmp_path, work)
    assert looks(second) == before
    assert (second / "one").samefile(second / "closed" / "two")
    assert looks(first) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into directories of mode 000")
def test_root_keeps_the_same(places: tuple[Path, Path]) -> None:
    first, second = places
    before = looks(first)
    with second_copy(first, second):
        pass
    assert looks(second) == before
    assert looks(first) == before


def test_attributes_are_kept(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "first" / "file").touch()
    try:
        os.setxattr(tmp_path / "first" / "file", "user.colour", b"blue")
    except OSError:
        pytest.skip("the file system of temporary files keeps no attributes")
    (tmp_path / "first" / "file").chmod(0)
    with second_copy(tmp_path / "first", tmp_path / "second"):
        assert os.getxattr(tmp_path / "second" / "file", "user.colour") == b"blue"


def test_what_cannot_be_read_is_named_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with pytest.raises(StorageError, match="missing") as caught, second_copy(tmp_path / "missing", tmp_path / "second"):
        pass
    assert caught.value.hint
