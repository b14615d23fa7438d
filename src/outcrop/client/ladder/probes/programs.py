"""The programs that others have installed to show directories elsewhere, each made to run something."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.containers import BUBBLEWRAP, bubblewrap_line
from outcrop.client.ladder.findings import Finding, Topic, degraded, no, ok
from outcrop.client.ladder.local_host import LocalHost
from outcrop.client.ladder.root_plan import plan_root
from outcrop.client.ladder.tools import apptainer_program, obstacle_to_running, try_proot

_SOMETHING = Path("/usr")
_NOWHERE = PurePosixPath("/outcrop-doctor/place")
_SECONDS = 20.0


def bubblewrap() -> Finding:
    """Whether bubblewrap makes a root with /cvmfs in it."""
    program = shutil.which(BUBBLEWRAP)
    if program is None:
        return no(Topic.BUBBLEWRAP, "it is not installed", "install the package `bubblewrap`")
    plan = plan_root(_NOWHERE, LocalHost())
    obstacle = obstacle_to_running(bubblewrap_line(program, plan, _SOMETHING, "/", ["true"]), _SECONDS)
    if obstacle is not None:
        return no(Topic.BUBBLEWRAP, obstacle.reason, obstacle.hint)
    return ok(Topic.BUBBLEWRAP, f"{program} works{_setuid(program)}")


def apptainer() -> Finding:
    """Whether Apptainer or SingularityCE answers. What it may mount is only known with an image."""
    program = apptainer_program()
    if program is None:
        return no(Topic.APPTAINER, "neither apptainer nor singularity is installed")
    obstacle = obstacle_to_running([program, "--version"], _SECONDS)
    if obstacle is not None:
        return no(Topic.APPTAINER, obstacle.reason, obstacle.hint)
    return degraded(
        Topic.APPTAINER, f"{program} is installed; it runs commands in an image", "`outcrop run --image FILE.sif`"
    )


def podman() -> Finding:
    """Whether Podman answers. No rung needs it: where it works without root, namespaces do."""
    program = shutil.which("podman")
    if program is None:
        return no(Topic.PODMAN, "it is not installed")
    obstacle = obstacle_to_running([program, "info", "--format", "{{.Host.Security.Rootless}}"], _SECONDS)
    if obstacle is not None:
        return no(Topic.PODMAN, obstacle.reason, obstacle.hint)
    return ok(Topic.PODMAN, f"{program} works; a repository is given to it with `-v /cvmfs/NAME:/cvmfs/NAME:ro`")


def proot(place: PurePosixPath) -> Finding:
    """Whether PRoot shows a directory at a place below `place`."""
    found = try_proot(place / "outcrop.doctor")
    if found.obstacle is not None:
        return no(Topic.PROOT, found.obstacle.reason.removeprefix("proot: "), found.obstacle.hint)
    if found.without_statx:
        return degraded(Topic.PROOT, "works if statx(2) is kept from programs, since it is an old release")
    return ok(Topic.PROOT, "works")


def _setuid(program: str) -> str:
    try:
        mode = os.stat(program).st_mode
    except OSError:
        return ""
    return ", and is setuid" if mode & stat.S_ISUID else ""
