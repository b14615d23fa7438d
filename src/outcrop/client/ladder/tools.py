"""The rungs that other programs make: bubblewrap or Apptainer, and PRoot; and the programs themselves, tried out."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from outcrop.client.ladder.call_filter import STATX, Forbidden, forbid, is_possible
from outcrop.client.ladder.containers import (
    APPTAINER_NAMES,
    BUBBLEWRAP,
    PROOT,
    apptainer_line,
    bubblewrap_line,
    proot_line,
)
from outcrop.client.ladder.copies import contents_of
from outcrop.client.ladder.copy_contents import look_next_time
from outcrop.client.ladder.launch import become
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.rungs import root_plan
from outcrop.client.ladder.shown_copy import copy_for, noexec_obstacle
from outcrop.client.ladder.trial import tried
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import CommandFailed

_SOMETHING = Path("/usr")
_NOTHING_TO_DO = "true"
TOOL_SECONDS = 60.0
"""Apptainer may have to convert an image first."""


def obstacle_to_running(
    line: Sequence[str], seconds: float = TOOL_SECONDS, before: Callable[[], None] = lambda: None
) -> Obstacle | None:
    """Why the command line `line`, which does nothing, does not end with 0; None if it does. `before` prepares the
    process that runs it."""
    tool = Path(line[0]).name

    def work() -> None:
        before()
        ended = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                               check=False)  # fmt: skip
        if ended.returncode != 0:
            said = ended.stderr.strip().splitlines()
            raise CommandFailed(what=tool, problem=said[-1][:300] if said else f"it ended with {ended.returncode}")

    outcome = tried(work, seconds)
    return None if outcome.succeeded else Obstacle(outcome.problem, outcome.hint)


def bubblewrap_obstacle(request: RunRequest) -> Obstacle | None:
    """Why bubblewrap cannot show something at the repository's place; None if it can."""
    program = shutil.which(BUBBLEWRAP)
    if program is None:
        return Obstacle("bubblewrap: it is not installed", "install the package `bubblewrap`")
    return obstacle_to_running(bubblewrap_line(program, root_plan(request), _SOMETHING, "/", [_NOTHING_TO_DO]))


@dataclass(frozen=True, slots=True)
class ProotHelp:
    """How PRoot works here: why it does not, or whether statx(2) must be forbidden for it to work."""

    obstacle: Obstacle | None
    without_statx: bool = False


def try_proot(place: PurePosixPath) -> ProotHelp:
    """Whether PRoot can show something at `place`. Nothing may be changed on the machine for that.

    It is tried with `ls`, which calls statx(2): old releases of PRoot do not know that call, so it is
    tried once more without it."""
    program = shutil.which(PROOT)
    if program is None:
        hint = "install the package `proot`, or put the static program on PATH"
        return ProotHelp(Obstacle("proot: it is not installed", hint))
    if os.geteuid() == 0 and not os.path.lexists(place):
        return ProotHelp(Obstacle("proot: as root, it would make the missing directories on the machine itself"))
    line = proot_line(program, _SOMETHING, place, "/", ["ls", "-d", str(place / "bin")])
    obstacle = obstacle_to_running(line)
    if obstacle is not None and is_possible() and obstacle_to_running(line, before=_forbid_statx) is None:
        return ProotHelp(None, without_statx=True)
    return ProotHelp(obstacle)


def _forbid_statx() -> None:
    forbid([Forbidden(STATX[platform.machine()], errno.ENOSYS)])


def apptainer_program() -> str | None:
    """The path of Apptainer or SingularityCE, None where neither is installed."""
    return next(filter(None, map(shutil.which, APPTAINER_NAMES)), None)


def apptainer_obstacle(request: RunRequest) -> Obstacle | None:
    """Why Apptainer cannot show something at the repository's place; None if it can."""
    program = apptainer_program()
    if program is None:
        return Obstacle("apptainer: it is not installed", "install the package `apptainer`")
    if not request.image:
        return Obstacle("apptainer: no image is named", "name one: `outcrop run --image FILE.sif`")
    return obstacle_to_running(
        apptainer_line(program, request.image, _SOMETHING, request.prefix, "/", [_NOTHING_TO_DO])
    )


@dataclass(frozen=True, slots=True)
class Container:
    """A copy, bound by bubblewrap or, with an image, by Apptainer."""

    request: RunRequest
    way: Way = Way.CONTAINER

    def obstacle(self) -> Obstacle | None:
        request = self.request
        unfit = noexec_obstacle(request)
        if unfit is not None:
            return unfit
        if request.image:
            return apptainer_obstacle(request)
        refused = bubblewrap_obstacle(request)
        if refused is None:
            return None
        other = apptainer_obstacle(request)
        assert other is not None, "without an image, Apptainer has nothing to run"
        return Obstacle(
            f"{refused.reason}; {other.reason}", refused.hint if apptainer_program() is None else other.hint
        )

    def prepare(self) -> Become:
        request = self.request
        copy = copy_for(request)
        environment = environment_of(request, self.way)

        def start(command: Sequence[str]) -> NoReturn:
            become(self._line(copy, command), environment)

        return start

    def _line(self, copy: Path, command: Sequence[str]) -> list[str]:
        request, directory = self.request, os.getcwd()
        if request.image:
            program = apptainer_program() or APPTAINER_NAMES[0]
            return apptainer_line(program, request.image, copy, request.prefix, directory, command)
        program = shutil.which(BUBBLEWRAP) or BUBBLEWRAP
        return bubblewrap_line(program, root_plan(request), copy, directory, command)


@dataclass(frozen=True, slots=True)
class Proot:
    """A copy, shown by PRoot."""

    request: RunRequest
    way: Way = Way.PROOT

    def obstacle(self) -> Obstacle | None:
        return noexec_obstacle(self.request) or try_proot(self.request.prefix).obstacle

    def prepare(self) -> Become:
        request = self.request
        copy = copy_for(request)
        environment = environment_of(request, self.way)
        program = shutil.which(PROOT) or PROOT
        without_statx = try_proot(request.prefix).without_statx

        def start(command: Sequence[str]) -> NoReturn:
            if without_statx:
                _forbid_statx()
            # The command may write to it.
            look_next_time(contents_of(copy))
            become(proot_line(program, copy, request.prefix, os.getcwd(), command), environment)

        return start
