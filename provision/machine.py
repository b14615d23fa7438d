"""Looks at the machine and installs system packages on it."""

from __future__ import annotations

import glob
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provision.packages import (
    InstallPlan,
    PackageManager,
    Probe,
    SystemPackage,
    described,
    install_plan,
    missing_for,
    readable_command,
)

_ADMINISTRATORS_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where `mkfs.ext4` and `nginx` live, which an ordinary user's PATH leaves out."""

_ANSWERS = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
    # Debian's packages start the services they bring, unless the run level says that this is no time for it.
    "RUNLEVEL": "1",
}


def is_there(probe: Probe) -> bool:
    """Whether one of the probe's signs is found on this machine."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS_PATH}"
    return (
        any(shutil.which(command, path=path) for command in probe.commands)
        or any(glob.glob(pattern) for pattern in probe.files)
        or bool(probe.python_module and importlib.util.find_spec(probe.python_module))
    )


def package_manager() -> PackageManager | None:
    """This machine's package manager, or None where it is one that we do not know."""
    return next((manager for manager in PackageManager if shutil.which(manager.value)), None)


def provide(goal: str, packages: Sequence[SystemPackage]) -> bool:
    """Install what `goal` misses where this user may, else say what is missing and what that means.

    Returns whether the set-up can go on: False when something is missing without which nothing works.
    """
    missing = missing_for(goal, packages, is_there)
    if not missing:
        return True
    manager = package_manager()
    plan = install_plan(missing, manager, f"{sys.version_info.major}.{sys.version_info.minor}") if manager else None
    if plan and os.geteuid() == 0:
        print(f"System packages to install for `make {goal}`:", *described(missing), sep="\n", flush=True)
        _carry_out(plan)
        importlib.invalidate_caches()
        missing = missing_for(goal, missing, is_there)
        if not missing:
            return True
        print("Not to be had from this machine's package sources:")
    else:
        print(f"Missing for `make {goal}`, which goes on as far as it can:")
    print(*described(missing, with_loss=True), sep="\n")
    if plan and os.geteuid() != 0:
        print(f"\nhint: install them with\n  {readable_command(plan)}\n")
    sys.stdout.flush()
    return not any(package.required for package in missing)


def _carry_out(plan: InstallPlan) -> None:
    """Install all at once; if that fails, with fresh lists; if that fails too, one by one, as far as it goes."""
    if plan.install[0] == PackageManager.APT.value and not _has_apt_lists():
        _refresh(plan)
    for command in plan.first:
        _succeeds(command)
    if _succeeds(plan.install):
        return
    _refresh(plan)
    if _succeeds(plan.install):
        return
    for command in plan.one_by_one:
        _succeeds(command)


def _refresh(plan: InstallPlan) -> None:
    for command in plan.refresh:
        _succeeds(command)


def _has_apt_lists() -> bool:
    return any(Path("/var/lib/apt/lists").glob("*_Packages*"))


def _succeeds(command: tuple[str, ...]) -> bool:
    """Run `command`; what it printed is shown only when it failed."""
    print(f"$ {' '.join(command)}", flush=True)
    run = subprocess.run(
        command,
        env={**os.environ, **_ANSWERS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if run.returncode:
        print(run.stdout.rstrip(), f"({command[0]} ended with {run.returncode})", sep="\n", flush=True)
    return run.returncode == 0
