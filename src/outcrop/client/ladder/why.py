"""What it means that the kernel refuses a namespace, a mount or the FUSE device, and what an administrator can do.

The kernel says EPERM for a dozen reasons. The settings that forbid namespaces can be read, so the one that applies is
named. Sources: user_namespaces(7), the kernel's `Documentation/admin-guide/sysctl`, AppArmor's notes on unprivileged
namespaces.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.trial import Outcome
from outcrop.client.ladder.ways import Obstacle
from outcrop.client.layers.metadata import AttributeSpace
from outcrop.client.mount.kernel import DEVICE

_CLONE_SWITCH = "kernel.unprivileged_userns_clone"
_LIMIT_SWITCH = "user.max_user_namespaces"
_MOUNT_LIMIT_SWITCH = "user.max_mnt_namespaces"
_APPARMOR_SWITCH = "kernel.apparmor_restrict_unprivileged_userns"
_SWITCHES = (_CLONE_SWITCH, _LIMIT_SWITCH, _MOUNT_LIMIT_SWITCH, _APPARMOR_SWITCH)
_FILTERED = "2"


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What this machine forbids: settings by name, and whether system calls of this process are filtered (seccomp)."""

    settings: Mapping[str, str]
    is_filtered: bool

    def says(self, name: str, value: str) -> bool:
        return self.settings.get(name) == value


def read_restrictions(proc: Path = Path("/proc")) -> Restrictions:
    """What the kernel shows of its settings below `proc`."""
    settings = {}
    for name in _SWITCHES:
        try:
            settings[name] = (proc / "sys" / name.replace(".", "/")).read_text().strip()
        except OSError:
            continue
    try:
        status = (proc / "self" / "status").read_text()
    except OSError:
        status = ""
    seccomp = next((line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:")), "")
    return Restrictions(settings, seccomp == _FILTERED)


def why_no_namespace(outcome: Outcome, restrictions: Restrictions | None = None) -> Obstacle | None:
    """What hindered the making of namespaces, of which `outcome` is the trial; None if nothing did."""
    if outcome.succeeded:
        return None
    known = restrictions or read_restrictions()
    told = f"namespaces: {outcome.problem}"
    if outcome.errno == errno.ENOSPC or known.says(_LIMIT_SWITCH, "0"):
        return Obstacle(
            f"namespaces: {_LIMIT_SWITCH} allows no more than {known.settings.get(_LIMIT_SWITCH, '?')} of them",
            f"as root: `sysctl {_LIMIT_SWITCH}=15000`",
        )
    if known.says(_CLONE_SWITCH, "0"):
        return Obstacle(f"namespaces: {_CLONE_SWITCH} is 0", f"as root: `sysctl {_CLONE_SWITCH}=1`")
    if outcome.errno in (errno.EPERM, errno.EACCES):
        if known.says(_APPARMOR_SWITCH, "1"):
            return Obstacle(
                f"{told}; AppArmor lets users' namespaces do nothing",
                f"as root: `sysctl {_APPARMOR_SWITCH}=0`, or a profile that allows `userns`",
            )
        if known.is_filtered:
            return Obstacle(
                f"{told}; a seccomp filter is at work, as in containers",
                "start the container so that it may make namespaces (`--security-opt seccomp=unconfined`)",
            )
        return Obstacle(told, "ask the administrator to let users have namespaces, or run as root")
    return Obstacle(told, outcome.hint)


def why_no_layers(outcome: Outcome, space: AttributeSpace) -> Obstacle | None:
    """What hindered layers, of which `outcome` is the trial; None if nothing did."""
    if outcome.succeeded:
        return None
    problem = outcome.problem.removeprefix("layers: ").removeprefix("layers ")
    if space is AttributeSpace.TRUSTED:
        return Obstacle(f"layers: {problem}", "" if os.geteuid() == 0 else "the kernel lets only root mount images")
    return Obstacle(f"layers of users: {problem}", "overlayfs can do it since Linux 6.16 or so")


def why_no_fuse(error: OSError) -> Obstacle:
    """What it means that the FUSE device cannot be opened."""
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return Obstacle(f"fuse: there is no {DEVICE}", "as root: `modprobe fuse`; in a container: `--device /dev/fuse`")
    return Obstacle(
        f"fuse: {DEVICE} may not be opened ({error.strerror})",
        f"as root: `chmod 666 {DEVICE}`, as most systems have it",
    )
