"""The files of a stock configuration on this machine, by the paths that they have for a stock client.

Two of those paths may lie elsewhere: `/etc/cvmfs`, when another directory is read in its place, and the mountpoint of
the configuration repository, when a verified copy stands for it. A path below `/etc/cvmfs` that the other directory
does not have is taken as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from outcrop.cvmfs.client_configuration import STOCK_DIRECTORY
from outcrop.cvmfs.client_configuration_conditions import FileState

MAXIMUM_FILE_BYTES = 1024 * 1024
"""The longest real file has 10 kB. A device or a runaway log must not fill the memory."""


class StockFiles:
    """Implements `FileView`. `unreadable` collects files that are there and cannot be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.unreadable: list[str] = []
        self._copies: dict[str, Path] = {}

    def show(self, mountpoint: str, copy: Path) -> None:
        """Lets `copy` stand for what lies below `mountpoint`."""
        self._copies[mountpoint] = copy

    def place(self, path: str) -> Path:
        """Where the file with this path really is."""
        for mountpoint, copy in self._copies.items():
            if path == mountpoint or path.startswith(f"{mountpoint}/"):
                return copy / path[len(mountpoint) :].lstrip("/")
        if path == STOCK_DIRECTORY or path.startswith(f"{STOCK_DIRECTORY}/"):
            below = self.directory / path[len(STOCK_DIRECTORY) :].lstrip("/")
            if os.path.lexists(below):
                return below
        return Path(path)

    def read(self, path: str) -> bytes | None:
        try:
            with open(self.place(path), "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                data = file.read(MAXIMUM_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except (OSError, ValueError):
            # A ValueError is a path with a zero byte in it.
            self.unreadable.append(path)
            return None
        if len(data) > MAXIMUM_FILE_BYTES:
            self.unreadable.append(path)
            return None
        return data

    def state(self, path: str) -> FileState | None:
        place = self.place(path)
        try:
            itself = os.lstat(place)
        except (OSError, ValueError):
            return None
        is_symlink = stat.S_ISLNK(itself.st_mode)
        try:
            found = os.stat(place)
        except OSError:
            return FileState(is_symlink=is_symlink, exists=False)
        return FileState(
            is_file=stat.S_ISREG(found.st_mode),
            is_directory=stat.S_ISDIR(found.st_mode),
            is_symlink=is_symlink,
            size=found.st_size,
            readable=os.access(place, os.R_OK),
            executable=os.access(place, os.X_OK),
        )

    def names(self, path: str) -> Sequence[str]:
        try:
            return sorted(os.listdir(self.place(path)))
        except (OSError, ValueError):
            return ()


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe without waiting for somebody who writes into it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
