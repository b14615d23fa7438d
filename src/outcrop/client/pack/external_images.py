"""Images that other programs make: squashfs from our tar stream, EROFS from a directory.

Both are asked for the same bytes each time: fixed times and identifiers, no more than one way of doing it. Another
version of the program may still make other bytes of the same files, as another encoder does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from outcrop.client.checkout_place import remove_tree
from outcrop.client.contents import Contents
from outcrop.client.pack.content import FileContents
from outcrop.client.pack.directory import WrittenImage, write_directory
from outcrop.client.pack.image import MANIFEST_PATH, PackImage
from outcrop.client.pack.staging import Relocation
from outcrop.client.pack.streams import program_sink, run_program
from outcrop.client.pack.tar import write_tar
from outcrop.client.tree import Tree
from outcrop.cvmfs.paths import shown
from outcrop.errors import CommandFailed, MissingCapability, storage_error
from outcrop.progress import SILENT, Progress

SQUASHFS_BLOCK_BYTES = 128 * 1024
"""The default of all programs, named so that none can have another."""

EROFS_SINCE = (1, 4)
"""mkfs.erofs makes the same image of the same directory since this version, and can set owners."""

Which = Callable[[str], str | None]
"""Where a program is installed; None for one that is not."""

EROFS_NAME_BYTES = 254
"""mkfs.erofs 1.5 makes no directory with a longer name in it, though the format could hold one byte more."""

_SQUASHFS_LATEST = 2**31 - 1
"""tar2sqfs takes no later time for what has none. Times of members may be later."""

_EROFS_LATEST = 2**64 - 2
"""mkfs.erofs moves later times to this one, and compares without a sign: those before 1970 are late as well."""

_VERSION = re.compile(r"mkfs\.erofs \(?(?:erofs-utils\) )?(\d+)\.(\d+)")
_MAXIMUM_TIME = 2**32 - 1
_VERSION_SECONDS = 20


def write_squashfs(
    image: PackImage,
    contents: FileContents,
    output: Path,
    *,
    progress: Progress = SILENT,
    which: Which = shutil.which,
) -> Counter[str]:
    """Makes the squashfs image `output` of `image`; returns what it cannot hold, and how often. Times have whole
    seconds, as the format does.

    MissingCapability where neither tar2sqfs (squashfs-tools-ng) nor sqfstar (squashfs-tools 4.5) is installed."""
    arguments = _squashfs_arguments(image, output, which)
    # What sqfstar takes the times from that it does not find in the archive; tar2sqfs has its own option.
    environment = {"SOURCE_DATE_EPOCH": str(_latest(image))}
    with program_sink(arguments, output.parent, environment) as sink:
        return write_tar(image, contents, sink, progress)


def _squashfs_arguments(image: PackImage, output: Path, which: Which) -> list[str]:
    block = str(SQUASHFS_BLOCK_BYTES)
    tar2sqfs, sqfstar = which("tar2sqfs"), which("sqfstar")
    if tar2sqfs is not None:
        return [
            tar2sqfs, "--defaults", f"mtime={min(_latest(image), _SQUASHFS_LATEST)}", "--block-size", block,
            "--compressor", "gzip", "--no-skip", "--quiet", str(output),
        ]  # fmt: skip
    if sqfstar is not None:
        # It passes over the member that stands for the root, and gives the root the latest time of all files.
        root = image.root
        return [
            sqfstar, "-reproducible", "-b", block, "-comp", "gzip", "-no-progress", "-quiet", "-exit-on-error",
            "-root-mode", f"{root.permissions:o}", "-root-uid", str(root.uid), "-root-gid", str(root.gid), str(output),
        ]  # fmt: skip
    raise MissingCapability(
        what="making squashfs images",
        problem="neither tar2sqfs nor sqfstar is installed",
        hint="install squashfs-tools-ng, or squashfs-tools 4.5 or newer, or make another format: `--format tar`",
    )


def write_erofs(
    image: PackImage,
    tree: Tree,
    contents: Contents,
    output: Path,
    *,
    owner: bool = False,
    relocation: Relocation | None = None,
    progress: Progress = SILENT,
) -> WrittenImage:
    """Makes the EROFS image `output` of `image`, by way of a directory beside it, which `relocation` changes first.

    MissingCapability where mkfs.erofs is missing or older than 1.4, whose images differ from run to run."""
    program = _mkfs_erofs()
    place = output.with_name(output.name + ".tree")
    try:
        place.mkdir(mode=0o700)
    except OSError as error:
        raise storage_error(error) from error
    try:
        written = write_directory(
            image, tree, contents, place, owner=owner, relocation=relocation, progress=progress
        )  # fmt: skip
        manifest = (place / os.fsdecode(MANIFEST_PATH[1:])).read_bytes()
        owners = [] if owner else ["--force-uid=0", "--force-gid=0"]
        # A moment that nothing is newer than: times of files are then kept, and that of the image is this one.
        environment = {"SOURCE_DATE_EPOCH": str(_latest(image) if _times_are_near(image) else _EROFS_LATEST)}
        arguments = [
            program, "--quiet", "-Eforce-inode-extended", f"-U{_identifier(manifest)}", *owners, "-d0",
            str(output), str(place),
        ]  # fmt: skip
        with _explained(image):
            run_program(arguments, output.parent, environment)
    finally:
        remove_tree(place)
    return written


def _mkfs_erofs() -> str:
    path = shutil.which("mkfs.erofs")
    if path is None:
        raise MissingCapability(
            what="making EROFS images", problem="mkfs.erofs is not installed",
            hint="install erofs-utils, or make another format: `--format squashfs`",
        )  # fmt: skip
    try:
        said = subprocess.run([path, "-V"], capture_output=True, timeout=_VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingCapability(what="making EROFS images", problem=f"{path} does not answer ({error})") from error
    match = _VERSION.search((said.stdout + said.stderr).decode("utf-8", "replace"))
    if match is None or (int(match[1]), int(match[2])) < EROFS_SINCE:
        wanted = ".".join(map(str, EROFS_SINCE))
        raise MissingCapability(
            what="making the same EROFS image each time", problem=f"{path} is older than {wanted}",
            hint="install a newer erofs-utils, or make another format: `--format squashfs`",
        )  # fmt: skip
    return path


@contextmanager
def _explained(image: PackImage) -> Iterator[None]:
    """mkfs.erofs does not say which name it cannot take."""
    try:
        yield
    except CommandFailed as error:
        paths = (located.path for located in image.selection.entries)
        long = next((path for path in paths if len(path.rpartition(b"/")[2]) > EROFS_NAME_BYTES), None)
        if long is None:
            raise
        raise MissingCapability(
            what="making the EROFS image", problem=f"mkfs.erofs takes no name as long as that of {shown(long)}",
            hint="make another format: `--format squashfs`",
        ) from error  # fmt: skip


def _times_are_near(image: PackImage) -> bool:
    return all(0 <= located.entry.mtime < _MAXIMUM_TIME for located in image.selection.entries)


def _latest(image: PackImage) -> int:
    return _in_range(max(located.entry.mtime for located in image.selection.entries) + 1)


def _in_range(moment: int) -> int:
    return min(max(moment, 0), _MAXIMUM_TIME)


def _identifier(manifest: bytes) -> uuid.UUID:
    """The image's identifier: the same for the same contents, and another for others."""
    return uuid.UUID(bytes=hashlib.sha256(manifest).digest()[:16], version=4)
