"""The directory of the demonstration: what is in it, who uses it, and what of it is swept away.

data/      keys, settings and storage of the demonstration's repository
sources/   the mirror of source files
packages/  the packages that the compatibility layer is made of
stack/     stack.toml, easyconfigs, easystacks
tree/      the build tree, which makes a second run fast
run/       mountpoint, checkout and cache of one run: gone when it ends
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from outcrop.client.mount.processes import clear_dead_mount
from outcrop.directories import cache_directory
from outcrop.errors import storage_error
from outcrop.stratum0.lock import exclusive

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/-]*")


@dataclass(frozen=True, slots=True)
class Workshop:
    """The places below the demonstration's directory."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def storage(self) -> Path:
        return self.directory / "data" / "storage"

    @property
    def sources(self) -> Path:
        return self.directory / "sources"

    @property
    def packages(self) -> Path:
        return self.directory / "packages"

    @property
    def indices(self) -> Path:
        return self.directory / "indices"

    @property
    def stack(self) -> Path:
        return self.directory / "stack"

    @property
    def tree(self) -> Path:
        return self.directory / "tree"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def mountpoint(self) -> Path:
        return self.run / "mount"

    @property
    def checkout(self) -> Path:
        return self.run / "checkout"

    @property
    def client_cache(self) -> Path:
        return self.run / "cache"

    @property
    def home(self) -> Path:
        return self.run / "home"

    @property
    def own_mount_root(self) -> Path:
        """Where the stack can live when `/cvmfs` is out of reach. Compilers and shebangs want a path without spaces."""
        if _PLAIN_PATH.fullmatch(str(self.directory)):
            return self.directory / "cvmfs"
        digest = sha256(os.fsencode(self.directory)).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"outcrop-demo-{os.getuid()}-{digest}"


def default_directory() -> Path:
    """A directory below the user's cache, or one for temporary files where the home cannot be written."""
    wanted = cache_directory() / "demo"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        return Path(tempfile.gettempdir()) / f"outcrop-demo-{os.getuid()}"


@contextmanager
def opened_workshop(directory: Path) -> Iterator[Workshop]:
    """The workshop in `directory`, for this process alone (Busy otherwise).

    What belongs to one run is swept away before, in case the last run was killed, and after."""
    workshop = Workshop(directory.absolute())
    with exclusive(workshop.directory / "lock", f"the demonstration in {workshop.directory}"):
        sweep(workshop)
        workshop.home.mkdir(parents=True, exist_ok=True)
        try:
            yield workshop
        finally:
            sweep(workshop)


def sweep(workshop: Workshop) -> None:
    """Takes away what one run leaves, a dead mount among it."""
    try:
        clear_dead_mount(workshop.mountpoint)
        if workshop.mountpoint.is_dir():
            workshop.mountpoint.rmdir()  # fails, and stops the sweep, while anything is mounted there
        remove_tree(workshop.run)
    except OSError as error:
        raise storage_error(error) from error


def remove_tree(path: Path) -> None:
    """Removes a tree, also one with read-only directories."""
    if not path.exists():
        return
    for directory, _names, _files in os.walk(path):
        os.chmod(directory, 0o700)
    shutil.rmtree(path)
