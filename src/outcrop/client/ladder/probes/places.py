"""The places that matter: the cache directory, and /cvmfs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.copies import Copies
from outcrop.client.ladder.findings import Finding, Topic, degraded, no, ok
from outcrop.client.ladder.relocated import place_for
from outcrop.client.ladder.trial import tried
from outcrop.client.mount.mountinfo import MountLine, mounts
from outcrop.errors import OutcropError

_LITTLE_ROOM = 2 * 1024 * 1024 * 1024
"""Bytes that a cache should have at least: a compiler with its libraries takes them."""

_ATTRIBUTE = "user.outcrop.doctor"
_STOCK_PROGRAMS = ("cvmfs2", "cvmfs_config")


def cache(directory: Path) -> Finding:
    """What the cache directory is fit for: writing, room, programs, attributes, locks."""
    if not directory.is_absolute():
        return no(Topic.CACHE, "this user has no home to keep it in", "let OUTCROP_CACHE_DIR name a directory")
    outcome = tried(lambda: "\n".join(_shortcomings(directory)))
    hint = "let OUTCROP_CACHE_DIR name a directory on another file system"
    if not outcome.succeeded:
        told = f"{directory} cannot be written ({outcome.problem})"
        try:
            spare = Copies.below(directory).directory.parent
        except OutcropError as error:
            return no(Topic.CACHE, f"{told}; {error.message}", hint)
        return degraded(Topic.CACHE, f"{told}; {spare} is used instead, as long as it lasts", hint)
    told = f"{directory} ({_file_system(directory)})"
    first, noexec, *lacks = outcome.answer.split("\n")
    room = int(first)
    told += f" has room for {room:,} bytes"
    if noexec:
        return no(Topic.CACHE, f"{told}, but is mounted noexec, so programs of a copy do not run", hint)
    if lacks:
        return degraded(Topic.CACHE, f"{told}, but {'; '.join(lacks)}", hint)
    return ok(Topic.CACHE, told)


def _shortcomings(directory: Path) -> list[str]:
    """The room in bytes, a word if programs may not be run there, then what else is amiss. OSError if nothing can be
    written there.

    What does not exist of the directory is not made for this: the one above it says what the file system is like."""
    existing = next(path for path in (directory, *directory.parents) if path.is_dir())
    status = os.statvfs(existing)
    room = status.f_bavail * status.f_frsize
    found = [str(room), "noexec" if status.f_flag & os.ST_NOEXEC else ""]
    with tempfile.NamedTemporaryFile(prefix=".outcrop-doctor-", dir=existing) as probe:
        probe.write(b"x")
        probe.flush()
        if room < _LITTLE_ROOM:
            found.append("that is little")
        try:
            os.setxattr(probe.name, _ATTRIBUTE, b"x")
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            found.append("it keeps no user attributes, so checksums are kept in a book of their own")
        if not _locks_hold(probe.name):
            found.append("its locks do not hold, so processes may do the same work twice")
    return found


def _locks_hold(path: str) -> bool:
    with open(path, "rb") as first, open(path, "rb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _file_system(directory: Path) -> str:
    try:
        lines = mounts()
    except (OSError, OutcropError):
        return "on a file system that is not known"
    return f"on {file_system_of(str(directory), lines)}"


def file_system_of(path: str, lines: Sequence[MountLine]) -> str:
    """The type of the file system that `path` lies on, by the list of mounts."""
    inside = [line for line in lines if f"{path}/".startswith(line.mountpoint.rstrip("/") + "/")]
    longest = max((len(line.mountpoint) for line in inside), default=0)
    return next((line.type for line in reversed(inside) if len(line.mountpoint) == longest), "an unknown one")


def cvmfs(customary: Path, repository: str) -> Finding:
    """What is at `/cvmfs`, who mounted it, and whether `repository` (empty for none in particular) shows there."""
    stock = next(filter(None, map(shutil.which, _STOCK_PROGRAMS)), None)
    client = f"the reference client is installed ({stock})" if stock else "the reference client is not installed"
    lines = [line for line in mounts() if f"{line.mountpoint}/".startswith(f"{customary}/")]
    mounted = ", ".join(f"{line.mountpoint} ({line.type})" for line in lines) or "nothing is mounted there"
    hint = "nothing has to be: `outcrop run` makes its own"
    if repository:
        outcome = tried(lambda: _shows(customary / repository))
        if outcome.succeeded:
            return ok(Topic.CVMFS, f"{customary / repository} {outcome.answer}; {client}")
        return no(Topic.CVMFS, f"{repository} does not show ({outcome.problem}); {mounted}; {client}", hint)
    if any(line.type != "autofs" for line in lines):
        return ok(Topic.CVMFS, f"{mounted}; {client}")
    if lines:
        return degraded(Topic.CVMFS, f"an automounter is at {customary}, and has mounted nothing yet; {client}")
    exists = tried(lambda: str(os.lstat(customary).st_mode)).succeeded
    state = "it is there, and nothing is mounted below it" if exists else "it is not there"
    return no(Topic.CVMFS, f"{state}; {client}", hint)


def relocation(prefix: PurePosixPath, environment: Mapping[str, str]) -> Finding:
    """Whether a relocated copy of what is expected at `prefix` has a place where it can lie."""
    try:
        place = place_for(Path("/any"), prefix, None, environment)
    except OutcropError as error:
        return no(Topic.RELOCATION, error.message, error.hint)
    return ok(Topic.RELOCATION, f"a copy would lie in {place.parent}")


def _shows(place: Path) -> str:
    """What shows at `place`; looking makes an automounter mount. OSError if nothing does."""
    count = len(os.listdir(place))
    if not count:
        raise OSError(errno.ENOENT, "it is empty")
    try:
        revision = os.getxattr(place, "user.revision").decode(errors="replace")
    except OSError:
        return f"shows {count} entries"
    return f"shows revision {revision}"
