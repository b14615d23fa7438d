"""A revision, or part of it, as plain files: fetched in parallel, verified, and there all at once or not at all.

Everything is written below a private directory of our own making. Names hold no `/` and are neither `.` nor `..` (the
catalog's decoder refuses them), no directory holds a name twice (the tree refuses it), and everything is created
exclusively; so nothing is ever written through a link or outside of the destination, whatever a catalog says.

Symbolic links are copied as they were published. A variant link (`$(NAME)/…`) is a question that each client answers;
a copy may be made on one machine and used on another, so the answer is only filled in on request.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.checkout_metadata import Metadata
from outcrop.client.checkout_place import unfinished
from outcrop.client.checkout_plan import CheckoutPlan, hard_link_key
from outcrop.client.contents import Contents, Piece
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import shown
from outcrop.errors import StorageError, storage_error
from outcrop.progress import SILENT, Progress

BATCH_FILES = 1024
BATCH_BYTES = 64 * 1024 * 1024
"""How much is fetched at once before it is copied: enough for all connections, little enough to see progress."""

_COPY_BYTES = 1024 * 1024
_NEW_FILE_MODE = 0o600
_NEW_DIRECTORY_MODE = 0o700
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})
"""What kernels and file systems answer to copy_file_range(2) when they cannot do it between two files."""


@dataclass(frozen=True, slots=True)
class CheckoutOptions:
    """`expand_links`: the settings by which variant links are filled in, None to keep them as they are. `owner`: set
    the users and groups that the repository says, which only root can."""

    expand_links: Mapping[bytes, bytes] | None = None
    owner: bool = False


DEFAULT_OPTIONS = CheckoutOptions()


def checkout(
    plan: CheckoutPlan,
    tree: Tree,
    contents: Contents,
    destination: Path,
    options: CheckoutOptions = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Writes what `plan` lists to `destination`, which must not exist or be an empty directory.

    Kept are modes, times (to the nanosecond where the repository has them), links, attributes as far as this user and
    file system can; `tell` hears what was left out. `progress` advances by bytes. AlreadyExists before anything is
    written; StorageError when the disk is full; whatever fails, nothing is left behind."""
    with unfinished(destination) as place:
        _check_space(place, plan)
        progress.start("Checking out", plan.size, "bytes")
        _Copy(plan, tree, contents, os.fsencode(place), options, progress, tell).run()
        progress.finish()


class _Copy:
    """One checkout into the directory `place`."""

    def __init__(
        self,
        plan: CheckoutPlan,
        tree: Tree,
        contents: Contents,
        place: bytes,
        options: CheckoutOptions,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._tree = tree
        self._contents = contents
        self._place = place
        self._options = options
        self._progress = progress
        self._tell = tell
        self._metadata = Metadata(owner=options.owner)

    def run(self) -> None:
        """Directories first, then all that is no file, then files; what a directory is like comes last, since every
        entry made in it changes its time."""
        directories = [located for located in self._plan.entries if located.entry.is_directory]
        for located in directories[1:]:
            with _border(located):
                os.mkdir(self._path(located), _NEW_DIRECTORY_MODE)
        for located in self._plan.entries:
            if not located.entry.is_directory and not located.entry.is_file:
                with _border(located):
                    self._make(located)
        links = self._write_files()
        for located, first in links:
            with _border(located):
                os.link(self._path(first), self._path(located), follow_symlinks=False)
        for located in reversed(directories):
            with _border(located):
                self._metadata.set_path(self._path(located), located.entry)
        for what, count in sorted(self._metadata.left_out.items()):
            self._tell(f"{what} was left out of the copy ({count} times): this user or file system cannot keep it")

    def _path(self, located: Located) -> bytes:
        return self._place + located.path[len(self._plan.path) :]

    def _make(self, located: Located) -> None:
        path, entry = self._path(located), located.entry
        if entry.is_symlink:
            settings = self._options.expand_links
            target = entry.symlink if settings is None else self._tree.symlink_target(entry, settings)
            if not target:
                self._metadata.left_out["a symbolic link without a target"] += 1
                return
            os.symlink(target, path)
            self._metadata.set_symlink(path, entry)
            return
        kind = entry.kind
        try:
            if kind is EntryKind.FIFO:
                os.mkfifo(path, _NEW_FILE_MODE)
            else:
                device = entry.size if kind.is_device else 0
                os.mknod(path, kind.value | _NEW_FILE_MODE, device)
        except PermissionError:
            self._metadata.left_out["a device file" if kind.is_device else "a special file"] += 1
            return
        self._metadata.set_path(path, entry)

    def _write_files(self) -> list[tuple[Located, Located]]:
        """Writes every file under its first name; returns the other names with the first one of each."""
        first_names: dict[tuple[bytes, int], Located] = {}
        others: list[tuple[Located, Located]] = []
        batch: list[tuple[Located, tuple[Piece, ...]]] = []
        size = 0
        for located in self._plan.entries:
            if not located.entry.is_file:
                continue
            key = hard_link_key(located)
            if key is not None and key in first_names:
                others.append((located, first_names[key]))
                continue
            if key is not None:
                first_names[key] = located
            batch.append((located, self._tree.pieces(located.path, located.entry)))
            size += located.entry.size
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                self._write_batch(batch)
                batch, size = [], 0
        self._write_batch(batch)
        return others

    def _write_batch(self, batch: list[tuple[Located, tuple[Piece, ...]]]) -> None:
        self._contents.ensure(piece for _, pieces in batch for piece in pieces)
        for located, pieces in batch:
            self._write_file(located, pieces)
            self._progress.advance(located.entry.size)

    def _write_file(self, located: Located, pieces: tuple[Piece, ...]) -> None:
        with _border(located):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(self._path(located), flags, _NEW_FILE_MODE)
            try:
                for piece in pieces:
                    source = self._contents.open(piece)
                    try:
                        _copy(source, target, piece.size)
                    finally:
                        os.close(source)
                self._metadata.set_open_file(target, located.entry)
            finally:
                os.close(target)


@contextmanager
def _border(located: Located) -> Iterator[None]:
    """The operating system's errors within the block come out as ours, with the entry's path."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, f"the copy of {shown(located.path)}") from error


def _copy(source: int, target: int, size: int) -> None:
    """Copies `size` bytes between open files, inside the kernel where it can."""
    left = size
    while left:
        try:
            copied = os.copy_file_range(source, target, left)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            copied = _copy_through_memory(source, target, left)
        if not copied:
            raise StorageError(what="a file in the cache", problem="shrank while it was read", hint="try again")
        left -= copied


def _copy_through_memory(source: int, target: int, size: int) -> int:
    data = os.read(source, min(size, _COPY_BYTES))
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
    return len(data)


def _check_space(place: Path, plan: CheckoutPlan) -> None:
    """Refuses at once what cannot fit, instead of after an hour."""
    try:
        status = os.statvfs(place)
    except OSError as error:
        raise storage_error(error) from error
    free = status.f_bavail * status.f_frsize
    if plan.size > free:
        raise StorageError(
            what=str(place.parent),
            problem=f"has room for {free:,} bytes, and the files need {plan.size:,}",
            hint="free some space, choose another directory, or a part of the tree with `--path`",
        )
