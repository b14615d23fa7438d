"""A mount of the repository that is at its place already: whether it answers, and shows what is asked for.

Our mounts and the reference client's say by attributes what they show. A mount that does not (a container's bind of a
plain copy) is taken for what its place says, as long as no particular revision is asked for.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.launch import become
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.trial import tried
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.client.mount.mountinfo import mounts
from outcrop.client.reading_settings import CURRENT

_ROOT_HASH, _REVISION, _NAME = "user.root_hash", "user.revision", "user.fqrn"
_MOUNT_HINT = "`outcrop mount {name}` as root mounts it for everybody"


@dataclass(frozen=True, slots=True)
class Mounted:
    """The mount that is there already."""

    request: RunRequest
    way: Way = Way.MOUNTED

    def obstacle(self) -> Obstacle | None:
        return obstacle_of_mount(self.request)

    def prepare(self) -> Become:
        environment = environment_of(self.request, self.way)
        return lambda command: become(command, environment)


def obstacle_of_mount(request: RunRequest) -> Obstacle | None:
    """Why what is at the repository's place cannot be used; None if it can.

    Raises what reading the repository raises if its tags are needed."""
    place = Path(request.prefix)
    outcome = tried(lambda: _look(place, request.name))
    if not outcome.succeeded:
        hint = outcome.hint or _MOUNT_HINT.format(name=request.name)
        return Obstacle(f"{place}: {outcome.problem}", hint)
    root_hash, _, revision = outcome.answer.partition(" ")
    choice = request.choice
    if choice == CURRENT:
        return None
    if choice.revision is not None:
        return _differs(place, "revision", revision, str(choice.revision))
    if choice.root_catalog is not None:
        return _differs(place, "root catalog", root_hash, choice.root_catalog.text)
    # Only a tag makes it necessary to read the repository.
    from outcrop.client.ladder.own_cache import opened

    with opened(request) as repository:
        return _differs(place, "root catalog", root_hash, repository.root.digest.text)


def _look(place: Path, name: str) -> str:
    """The root hash and the revision of what is mounted at `place`, empty where it does not say them.

    Looking into the directory first makes an automounter mount."""
    try:
        with os.scandir(place) as entries:
            empty = next(entries, None) is None
    except FileNotFoundError:
        raise _unusable("nothing is there") from None
    shown = _attribute(place, _NAME)
    if shown and shown != name:
        raise _unusable(f"{shown} is mounted there")
    if not shown:
        real = os.path.realpath(place)
        if not any(line.mountpoint == real and line.type != "autofs" for line in mounts()):
            raise _unusable("nothing is mounted there")
        if empty:
            raise _unusable("what is mounted there is empty")
    return f"{_attribute(place, _ROOT_HASH)} {_attribute(place, _REVISION)}"


def _unusable(problem: str) -> OSError:
    return OSError(errno.ENOENT, problem)


def _attribute(place: Path, name: str) -> str:
    try:
        return os.getxattr(place, name).decode(errors="replace").strip()
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES):
            return ""
        raise


def _differs(place: Path, what: str, shown: str, wanted: str) -> Obstacle | None:
    if shown == wanted:
        return None
    known = f"the {what} {shown}" if shown else f"a {what} that it does not tell"
    return Obstacle(f"{place}: what is mounted there has {known}, not {wanted}")
