"""Random edits of a tree, made in several places alike: in a writable view, and in a plain copy of what it shows.

Left out is what an overlay cannot do as a plain file system does it: changing a file that has several names changes it
under one of them.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NAMES = [b"a", b"b", b"c", b"with space", "ünïcode".encode(), b"latin-\xe9", b"x" * 60, b".hidden"]
_FIRST_SECOND = 1_500_000_000


class RandomEdits:
    """Makes the same edits below all `places`, as `choice` has it. What the last of them shows is chosen from.

    With `forgiving`, an edit that fails is left at that: some overlays show what they cannot keep up."""

    def __init__(self, *places: Path, choice: random.Random, forgiving: bool = False) -> None:
        self._places = tuple(os.fsencode(place) for place in places)
        self._forgiven = (OSError, shutil.Error) if forgiving else ()
        self._choice = choice
        self._touched: set[bytes] = set()
        self._kinds: list[Callable[[], None]] = [
            self.write_file, self.write_file, self.delete, self.delete_and_make_again, self.rename, self.make_directory,
            self.put_file_for_directory, self.put_directory_for_file, self.change_mode, self.make_symlink,
            self.make_hard_link, self.set_attribute, self.append, self.set_time, self.rename_there_and_back,
        ]  # fmt: skip

    def run(self, count: int) -> None:
        """Makes `count` edits, then gives every directory in which something changed a time that both have."""
        for _ in range(count):
            with suppress(*self._forgiven):
                self._choice.choice(self._kinds)()
        for path in sorted(self._touched):
            when = self._moment()
            for place in self._places:
                if os.path.isdir(place + path) and not os.path.islink(place + path):
                    os.utime(place + path, ns=when)
        self._touched.clear()

    def write_file(self) -> None:
        path = self._new_path()
        data = self._choice.randbytes(self._choice.choice((0, 10, 5000)))
        self._both(lambda place: _write(place + path, data), path)

    def append(self) -> None:
        path = self._existing(lambda status: stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
        if path is not None:
            data = self._choice.randbytes(20)
            self._both(lambda place: _append(place + path, data), path)

    def delete(self) -> None:
        path = self._existing()
        if path is not None:
            self._both(lambda place: _remove(place + path), path)

    def delete_and_make_again(self) -> None:
        path = self._existing(lambda status: stat.S_ISDIR(status.st_mode))
        if path is not None:
            names = self._choice.sample(_NAMES, 2)

            def work(place: bytes) -> None:
                _remove(place + path)
                os.mkdir(place + path)
                for name in names:
                    _write(place + path + b"/" + name, name)

            self._both(work, path)
            for name in names:
                self._set_time(path + b"/" + name)
            self._touched.add(path)

    def make_directory(self) -> None:
        path = self._new_path()
        self._both(lambda place: os.mkdir(place + path), path)

    def put_file_for_directory(self) -> None:
        path = self._existing(lambda status: stat.S_ISDIR(status.st_mode))
        if path is not None:
            self._both(lambda place: _replace_by_file(place + path), path)

    def put_directory_for_file(self) -> None:
        path = self._existing(lambda status: not stat.S_ISDIR(status.st_mode))
        # What is called like a marker may not be anything but a file.
        if path is not None and not path.endswith(b"/.cvmfscatalog"):
            self._both(lambda place: _replace_by_directory(place + path), path)

    def rename(self) -> None:
        source, target = self._existing(_has_one_name), self._new_path()
        if source is not None and not (target + b"/").startswith(source + b"/"):
            self._move(source, target)

    def rename_there_and_back(self) -> None:
        source, target = self._existing(_has_one_name), self._new_path()
        if source is not None and not (target + b"/").startswith(source + b"/"):
            self._move(source, target)
            self._move(target, source)

    def change_mode(self) -> None:
        path = self._existing(lambda status: not stat.S_ISLNK(status.st_mode) and _has_one_name(status))
        if path is not None:
            is_directory = os.path.isdir(self._places[-1] + path)
            mode = self._choice.choice((0o755, 0o700, 0o750) if is_directory else (0o644, 0o755, 0o600, 0o440))
            self._both(lambda place: os.chmod(place + path, mode), None)

    def make_symlink(self) -> None:
        path = self._new_path()
        target = self._choice.choice((b"a", b"/absolute/x", b"$(VAR:-default)/x", b"\xff\xfe"))
        self._both(lambda place: os.symlink(target, place + path), path)

    def make_hard_link(self) -> None:
        source = self._existing(lambda status: stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
        if source is not None:
            target = os.path.dirname(source) + b"/" + b"link%d" % self._choice.randrange(1000)
            if not os.path.lexists(self._places[-1] + target):
                self._both(lambda place: os.link(place + source, place + target), target)

    def set_attribute(self) -> None:
        path = self._existing(lambda status: _takes_attributes(status) and _has_one_name(status))
        if path is not None:
            value = self._choice.randbytes(5)
            self._both(lambda place: os.setxattr(place + path, b"user.note", value), None)

    def set_time(self) -> None:
        path = self._existing(_has_one_name)
        if path is not None:
            self._set_time(path)

    def _move(self, source: bytes, target: bytes) -> None:
        """As mv(1) does it: an overlay lets nobody rename a directory of its lower layer."""
        view, *copies = self._places
        try:
            os.rename(view + source, view + target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            for place in self._places:
                # The copy of a file with several names is several files.
                source_name, target_name = os.fsdecode(place + source), os.fsdecode(place + target)
                shutil.copytree(source_name, target_name, symlinks=True, copy_function=_copy)
                shutil.rmtree(place + source)
        else:
            for place in copies:
                os.rename(place + source, place + target)
        self._touch(source)
        self._touch(target)
        for directory, names, files in os.walk(self._places[-1] + target):
            for name in (*names, *files):
                self._set_time(os.path.join(directory, name)[len(self._places[-1]) :])
        self._set_time(target)

    def _both(self, work: Callable[[bytes], object], path: bytes | None) -> None:
        for place in self._places:
            work(place)
        if path is not None:
            self._touch(path)
            if os.path.lexists(self._places[-1] + path):
                self._set_time(path)

    def _touch(self, path: bytes) -> None:
        self._touched.add(os.path.dirname(path))

    def _set_time(self, path: bytes) -> None:
        when = self._moment()
        for place in self._places:
            os.utime(place + path, ns=when, follow_symlinks=False)

    def _moment(self) -> tuple[int, int]:
        return 0, (_FIRST_SECOND + self._choice.randrange(10**8)) * 10**9 + self._choice.randrange(10**9)

    def _existing(self, wanted: Callable[[os.stat_result], bool] = lambda _: True) -> bytes | None:
        found = [path for path, status in self._listed() if wanted(status)]
        return self._choice.choice(found) if found else None

    def _new_path(self) -> bytes:
        directories = [b"", *(path for path, status in self._listed() if stat.S_ISDIR(status.st_mode))]
        directory = self._choice.choice(directories)
        name = self._choice.choice(_NAMES)
        while os.path.lexists(self._places[-1] + directory + b"/" + name):
            name = name[:200] + b"%d" % self._choice.randrange(100)
        return directory + b"/" + name

    def _listed(self) -> list[tuple[bytes, os.stat_result]]:
        """Every path and what it is, in an order that the choices can be replayed in."""
        top = self._places[-1]
        found = []
        for directory, names, files in os.walk(top):
            for name in (*names, *files):
                place = os.path.join(directory, name)
                found.append((place[len(top) :], os.lstat(place)))
        return sorted(found, key=lambda one: one[0])


def _has_one_name(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) or status.st_nlink == 1


def _takes_attributes(status: os.stat_result) -> bool:
    """No file system keeps a user's attributes of links, pipes, sockets and devices."""
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _append(path: bytes, data: bytes) -> None:
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    os.chmod(path, mode | stat.S_IWUSR)
    with open(path, "ab") as file:
        file.write(data)
    os.chmod(path, mode)


def _copy(source: str, target: str) -> None:
    status = os.lstat(source)
    if stat.S_ISREG(status.st_mode):
        shutil.copyfile(source, target)
    else:
        os.mknod(target, status.st_mode)  # a pipe or a socket
    shutil.copystat(source, target)


def _remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _replace_by_file(path: bytes) -> None:
    _remove(path)
    _write(path, b"was a directory")


def _replace_by_directory(path: bytes) -> None:
    _remove(path)
    os.mkdir(path)
