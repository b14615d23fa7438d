"""What decides, as far as it shows, which ways are possible for a process."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` takes longer to read than this takes to run.
    from collections.abc import Mapping

_STATUS_FIELDS = ("Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:")
_FILES = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)
"""What administrators switch ways on and off with."""
_DEVICE = "/dev/fuse"


def surroundings(environment: Mapping[str, str] = os.environ) -> str:
    """This process's rights, filters and namespaces, the device, the administrator's switches, and where programs are
    looked for: a line each."""
    parts = [environment.get("PATH", ""), *(_text(path).strip() for path in _FILES)]
    parts += [line for line in _text("/proc/self/status").splitlines() if line.startswith(_STATUS_FIELDS)]
    for name in ("user", "mnt", "pid"):
        try:
            parts.append(os.readlink(f"/proc/self/ns/{name}"))
        except OSError:
            parts.append("-")
    try:
        device = os.stat(_DEVICE)
    except OSError:
        parts.append("-")
    else:
        parts.append(f"{device.st_mode} {device.st_uid} {device.st_gid} {os.access(_DEVICE, os.R_OK | os.W_OK)}")
    return "\n".join(parts)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return "-"
