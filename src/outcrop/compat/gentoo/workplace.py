"""The directory of a build that may take hours: it stays until the layer is in its place, so that a build that was
stopped goes on.

tree/          the layer, which the build sees at its prefix
temporary/     the build's `/tmp`, with the bootstrap script
accounts/      `passwd` and `group` of the build
logs/          what each stage wrote
state.json     which stages are finished
results.json   the lock with what was installed
lock           held by the build
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import Busy, storage_error

SCRIPT = "bootstrap-prefix.sh"


@dataclass(frozen=True, slots=True)
class Workplace:
    """The directory of one build. `lock` is the descriptor that whatever works in it holds."""

    directory: Path
    lock: int

    @property
    def tree(self) -> Path:
        return self.directory / "tree"

    @property
    def temporary(self) -> Path:
        return self.directory / "temporary"

    @property
    def accounts(self) -> Path:
        return self.directory / "accounts"

    @property
    def script(self) -> Path:
        return self.temporary / SCRIPT

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def results(self) -> Path:
        return self.directory / "results.json"

    def log(self, stage: str) -> Path:
        """What `stage` wrote, all its attempts one after another."""
        return self.directory / "logs" / f"{stage}.log"


def workplace_of(tree: Path) -> Path:
    """Where the layer `tree` is built: beside it, on the same file system."""
    return tree.with_name(f".outcrop-gentoo-{tree.name}")


@contextmanager
def open_workplace(directory: Path) -> Iterator[Workplace]:
    """The workplace in `directory`, new or as it was left, for this process alone. Busy, StorageError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in ("tree", "temporary", "accounts", "logs"):
                (directory / name).mkdir(exist_ok=True)
        except BlockingIOError:
            raise Busy(what=str(directory), holder="another build of this layer") from None
        except OSError as error:
            raise storage_error(error) from error
        yield Workplace(directory, lock)
    finally:
        os.close(lock)


def remove_directory(directory: Path) -> None:
    """Takes `directory` away with all that is in it, also what its owner may not write; StorageError."""

    def open_up(remove: Callable[[str], object], path: str, error: BaseException) -> None:
        if not isinstance(error, PermissionError):
            raise error
        parent = Path(path).parent
        parent.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            Path(path).chmod(stat.S_IRWXU)
        remove(path)

    try:
        if directory.is_symlink() or directory.is_file():
            directory.unlink()
        elif directory.exists():
            shutil.rmtree(directory, onerror=lambda remove, path, facts: open_up(remove, path, facts[1]))
    except OSError as error:
        raise storage_error(error) from error
