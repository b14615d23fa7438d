"""What stands in an image of a file system, without mounting it: read by the programs that belong to the format."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from outcrop.errors import FormatError, MissingCapability
from outcrop.scratch import scratch_directory

Which = Callable[[str], str | None]
"""Where a program is installed; None for one that is not."""


def squashfs_as_tar(path: Path, which: Which = shutil.which) -> list[str] | None:
    """The command that says the squashfs image `path` as an archive; None where it is not installed."""
    program = which("sqfs2tar")
    return None if program is None else [program, "--root-becomes", ".", "--no-skip", str(path)]


def unpacked_squashfs(path: Path, which: Which = shutil.which) -> AbstractContextManager[Path]:
    """A directory that holds what the squashfs image `path` does, within the block.

    MissingCapability where no program for it is installed, FormatError for an image that is damaged."""
    program = which("unsquashfs")
    if program is None:
        raise MissingCapability(
            what=f"looking into {path}",
            problem="neither sqfs2tar nor unsquashfs is installed",
            hint="install squashfs-tools-ng or squashfs-tools, or mount the image and verify the directory",
        )
    return _unpacked(path, lambda place: [program, "-quiet", "-no-progress", "-no-xattrs", "-dest", place, str(path)])


def unpacked_erofs(path: Path, which: Which = shutil.which) -> AbstractContextManager[Path]:
    """The same for the EROFS image `path`."""
    program = which("fsck.erofs")
    if program is None:
        raise MissingCapability(
            what=f"looking into {path}",
            problem="fsck.erofs is not installed",
            hint="install erofs-utils 1.5 or newer, or mount the image and verify the directory",
        )
    return _unpacked(
        path, lambda place: [program, f"--extract={place}", "--preserve-perms", "--no-preserve-owner", str(path)]
    )


@contextmanager
def _unpacked(path: Path, arguments: Callable[[str], Sequence[str]]) -> Iterator[Path]:
    # An image is as large as what it holds, or nearly so: where it lies there is room more likely than elsewhere.
    beside = path.parent if os.access(path.parent, os.W_OK | os.X_OK) else None
    with scratch_directory("verify", beside) as scratch:
        place = scratch.directory / "image"
        ended = subprocess.run(
            arguments(str(place)), stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=[scratch.lock]
        )
        if ended.returncode or not place.is_dir():
            said = (ended.stderr or ended.stdout).decode("utf-8", "replace").partition("\n")[0].strip()
            raise FormatError(what=str(path), field="the image", problem=f"cannot be unpacked ({said})")
        yield place
