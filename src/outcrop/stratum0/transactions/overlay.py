"""Overlay file systems: a directory that changes are written to (upper), over one that is never written to (lower).

There are three ways, and which one works is found out by trying. All three leave a plain upper directory: what is new
or changed stands there whole, and nothing refers to the lower layer (`redirect_dir`, `metacopy` and `index` are off).

Sources: the Linux kernel's `Documentation/filesystems/overlayfs.rst`; fuse-overlayfs(1); mount(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.errors import MissingCapability

PROGRAM = "fuse-overlayfs"
_PROGRAM_SECONDS = 60
"""The program is in the background within a moment; if not, one of its directories hangs."""
_LAYERS = "lowerdir=lower,upperdir=upper,workdir=work"
_PROBE = "outcrop.probe"


class Way(Enum):
    """How a writable view is made; the value is what people call it."""

    KERNEL = "kernel"
    FUSE = "fuse-overlayfs"
    NAMESPACE = "namespace"

    @property
    def marks_by_files(self) -> bool:
        """Whether names beginning with `.wh.` in the upper directory are the overlay's own."""
        return self is Way.FUSE

    @property
    def shows_owners(self) -> bool:
        """Whether entries show, and keep, the owners that the repository has for them: for root alone they can."""
        return os.geteuid() == 0 and self is not Way.NAMESPACE

    @property
    def attribute_space(self) -> str:
        """Where the kernel keeps what it notes about the upper directory's entries; empty if it does not."""
        return {Way.KERNEL: "trusted", Way.NAMESPACE: "user"}.get(self, "")


@dataclass(frozen=True, slots=True)
class OverlayPlace:
    """The directory that holds `lower`, `upper` and `work`, and where the overlay shows.

    `upper_type` is the type of the file system below it, for messages."""

    directory: Path
    view: Path
    upper_type: str = "its file system"


def possible_ways(user: int) -> tuple[Way, ...]:
    """The ways worth a try for the user of that number, the best first."""
    return tuple(Way) if user == 0 else (Way.FUSE, Way.NAMESPACE)


def mount_by_kernel(place: OverlayPlace, way: Way) -> None:
    """Mounts the overlay as the kernel does it. Runs in a process of its own, whose directory it changes.

    MissingCapability if the kernel does not do it here, or not for this user."""
    _require_attributes(place, way)
    # Relative names need no escapes, whatever characters are in the path.
    os.chdir(place.directory)
    options = f"{_LAYERS},index=off"
    # With `userxattr` the kernel allows no word about redirections but that they are not followed.
    options += ",userxattr" if way is Way.NAMESPACE else ",redirect_dir=off,metacopy=off"
    source = os.fsencode(place.directory)
    if _libc.mount(source, os.fsencode(place.view), b"overlay", 0, options.encode()) != 0:
        raise _refused(ctypes.get_errno(), place)


def mount_by_program(place: OverlayPlace, lifeline: int) -> None:
    """Mounts the overlay with fuse-overlayfs, which goes into the background and keeps the descriptor `lifeline` open
    for as long as it lives. MissingCapability if there is no such program, or it cannot do it."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingCapability(what=PROGRAM, problem="it is not installed", hint=f"install the package `{PROGRAM}`")
    try:
        ended = subprocess.run(
            [program, "-o", _LAYERS, os.fspath(place.view)], cwd=place.directory, pass_fds=(lifeline,),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROGRAM_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise MissingCapability(what=PROGRAM, problem=f"it did not begin in {_PROGRAM_SECONDS} seconds") from error
    if ended.returncode != 0:
        lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise MissingCapability(what=PROGRAM, problem=lines[-1] if lines else f"exit code {ended.returncode}")


def make_trial(directory: Path) -> OverlayPlace:
    """Makes the layers of a small overlay in the new `directory`, on which `require_faithful` tries things out."""
    for name in ("lower/made again/below", "upper", "work", "view"):
        (directory / name).mkdir(parents=True)
    (directory / "lower" / "made again" / "deleted").touch()
    (directory / "lower" / "made again" / "below" / "deleted").touch()
    return OverlayPlace(directory, directory / "view")


def require_faithful(trial: OverlayPlace) -> None:
    """MissingCapability if the overlay shows again what was deleted, as fuse-overlayfs 1.10 does: in a directory that
    is removed after a change below it, and made again."""
    directory = trial.view / "made again"
    (directory / "below" / "new").touch()
    shutil.rmtree(directory)
    directory.mkdir()
    if os.listdir(directory):
        raise MissingCapability(
            what=PROGRAM,
            problem="this version shows files again that were deleted",
            hint=f"install a newer one; `--by {PROGRAM}` takes this one as it is",
        )


def _require_attributes(place: OverlayPlace, way: Way) -> None:
    """Without these attributes a directory that is emptied and filled again could not be told from a changed one."""
    name = f"{way.attribute_space}.{_PROBE}"
    try:
        os.setxattr(place.directory / "upper", name, b"")
        os.removexattr(place.directory / "upper", name)
    except OSError as error:
        raise MissingCapability(
            what=f"an overlay on {place.directory}",
            problem=f"{place.upper_type} takes no {way.attribute_space} attributes from this user ({error.strerror})",
            hint=_ELSEWHERE,
        ) from error


_ELSEWHERE = "keep the data directory on a local disk such as ext4 or xfs (`OUTCROP_DATA_DIR`)"


def _refused(number: int, place: OverlayPlace) -> MissingCapability:
    problem, hint = f"the kernel refuses it ({os.strerror(number)})", _ELSEWHERE
    if number == errno.EPERM:
        problem, hint = "the kernel does not let this user mount it", "run as root"
    elif number == errno.ENODEV:
        problem, hint = "this kernel has no overlayfs", "load the module as root: `modprobe overlay`"
    elif number == errno.EINVAL:
        problem = f"{place.upper_type} cannot be the layer that is written to (overlayfs and NFS never can)"
    return MissingCapability(what=f"an overlay on {place.directory}", problem=problem, hint=hint)


_libc = ctypes.CDLL(None, use_errno=True)
