"""A view of this machine in which some directories appear elsewhere, made by bubblewrap without touching the host.

A build needs its tree at `/cvmfs/<repository>`, and so does a shell that uses a repository mounted somewhere else. The
view has an empty root in memory; every entry of the host's root is bound into it, symbolic links are made anew, and
the directories asked for are bound at their targets. Where a target's parent exists on the host but not the target
itself, that parent is opened up the same way, so no mount point is ever created on the host. Works as root and, where
the kernel lets users have namespaces, without.

With `KernelOnly` in the place of the host, nothing is shown but what is asked for.

`arguments` is pure; `HostTree` is what it needs to know of the host; `ensure_available` has the effects.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Protocol

from outcrop.errors import InvalidValue, MissingCapability
from outcrop.process_group import run_group

BUBBLEWRAP = "bwrap"

INSTALL_HINT = "install the package `bubblewrap`"

NAMESPACE_HINT = (
    "let users have namespaces (`sysctl kernel.unprivileged_userns_clone=1`, or "
    "`kernel.apparmor_restrict_unprivileged_userns=0`), or run as root"
)


class EntryKind(Enum):
    """What a path of the host is, as far as a view cares."""

    ABSENT = "absent"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


class HostTree(Protocol):
    """The host's directories, as a view is planned from them."""

    def kind(self, path: PurePosixPath) -> EntryKind:
        """What `path` is, links not followed."""

    def entries(self, path: PurePosixPath) -> Sequence[str]:
        """The names in the directory `path`."""

    def link(self, path: PurePosixPath) -> str:
        """Where the symbolic link `path` points."""


class LocalHost:
    """This machine's directories."""

    def kind(self, path: PurePosixPath) -> EntryKind:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            # Not there, or on a network mount that is gone: either way there is nothing to show.
            return EntryKind.ABSENT
        if stat.S_ISLNK(mode):
            return EntryKind.SYMLINK
        return EntryKind.DIRECTORY if stat.S_ISDIR(mode) else EntryKind.OTHER

    def entries(self, path: PurePosixPath) -> Sequence[str]:
        return sorted(os.listdir(path))

    def link(self, path: PurePosixPath) -> str:
        return os.readlink(path)


class KernelOnly:
    """A host with nothing but what the kernel shows: devices, processes and itself."""

    _SHOWN = ("dev", "proc", "sys")

    def kind(self, path: PurePosixPath) -> EntryKind:
        shown = path == _ROOT or (path.parent == _ROOT and path.name in self._SHOWN)
        return EntryKind.DIRECTORY if shown else EntryKind.ABSENT

    def entries(self, path: PurePosixPath) -> Sequence[str]:
        return self._SHOWN if path == _ROOT else ()

    def link(self, path: PurePosixPath) -> str:
        raise FileNotFoundError(path)


@dataclass(frozen=True, slots=True)
class Bind:
    """The host's directory (or file) `source` appears at `target`."""

    source: Path
    target: PurePosixPath
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to `leads_to` appears at `target`, where the host shows nothing."""

    leads_to: PurePosixPath
    target: PurePosixPath


@dataclass(frozen=True, slots=True)
class View:
    """What a program sees.

    `binds` are made in the order given, later ones over earlier ones, then `links`. With `host_writable` the rest of
    the host is as writable as it is outside. `devices`: the host's own (a shell) or only the harmless ones (a build).
    `environment` replaces the caller's where it is given. `isolated_processes` gives the program process numbers of its
    own, so that nothing it started outlives it. `user` is the number of the user and the group that the program runs
    as: to it, what the caller owns is its own.
    """

    binds: tuple[Bind, ...] = ()
    links: tuple[Link, ...] = ()
    network: bool = True
    host_writable: bool = True
    host_devices: bool = True
    isolated_processes: bool = False
    environment: Mapping[str, str] | None = None
    directory: PurePosixPath | None = None
    user: int | None = None


_ROOT = PurePosixPath("/")
_PROC = PurePosixPath("/proc")
_DEV = PurePosixPath("/dev")


def arguments(view: View, command: Sequence[str], host: HostTree, bubblewrap: str = BUBBLEWRAP) -> list[str]:
    """The command line that runs `command` in `view`. It dies with the process that starts it.

    Raises InvalidValue for a target that is not an absolute path, or whose parent is no directory.
    """
    line = [bubblewrap, "--die-with-parent"]
    if not view.network:
        line += ["--unshare-net"]
    if view.isolated_processes:
        line += ["--unshare-pid", "--unshare-ipc", "--new-session"]
    if view.user is not None:
        line += ["--unshare-user", "--uid", str(view.user), "--gid", str(view.user)]
    line += _root_arguments(view, _opened_directories(view, host), host)
    for bind in view.binds:
        line += ["--bind" if bind.writable else "--ro-bind", str(bind.source), str(bind.target)]
    for link in view.links:
        line += ["--symlink", str(link.leads_to), str(link.target)]
    if view.environment is not None:
        line += ["--clearenv"]
        for name, value in view.environment.items():
            line += ["--setenv", name, value]
    if view.directory is not None:
        line += ["--chdir", str(view.directory)]
    return [*line, "--", *command]


def _opened_directories(view: View, host: HostTree) -> set[PurePosixPath]:
    """The host's directories that must be rebuilt in memory, so that a target below them can be made."""
    opened = {_ROOT}
    made: list[PurePosixPath] = []
    for bind in view.binds:
        if not bind.target.is_absolute() or ".." in bind.target.parts or bind.target == _ROOT:
            raise InvalidValue(what=f"the place {bind.target}", problem="is not an absolute path below the root")
        inside_earlier_bind = any(place in bind.target.parents for place in made)
        made.append(bind.target)
        if inside_earlier_bind or host.kind(bind.target) in (EntryKind.DIRECTORY, EntryKind.OTHER):
            continue
        parent = next(place for place in bind.target.parents if host.kind(place) is not EntryKind.ABSENT)
        if host.kind(parent) is not EntryKind.DIRECTORY:
            raise InvalidValue(
                what=f"the place {bind.target}",
                problem=f"lies below {parent}, which is not a directory",
                hint="name the directory itself, without symbolic links",
            )
        opened |= {parent, *parent.parents}
    return opened


def _root_arguments(view: View, opened: set[PurePosixPath], host: HostTree) -> list[str]:
    line: list[str] = []
    bind_option = "--bind" if view.host_writable else "--ro-bind"
    targets = {bind.target for bind in view.binds}

    def show(directory: PurePosixPath) -> None:
        for name in host.entries(directory):
            path = directory / name
            kind = host.kind(path)
            if path in targets:
                continue
            if path == _PROC:
                line.extend(["--proc", "/proc"] if view.isolated_processes else ["--bind", "/proc", "/proc"])
            elif path == _DEV:
                line.extend(["--dev-bind", "/dev", "/dev"] if view.host_devices else ["--dev", "/dev"])
            elif path in opened:
                line.extend(["--dir", str(path)])
                show(path)
            elif kind is EntryKind.SYMLINK:
                line.extend(["--symlink", host.link(path), str(path)])
            elif kind is not EntryKind.ABSENT:
                # An entry that cannot be bound (a stale network mount) is left out instead of failing everything.
                line.extend([f"{bind_option}-try", str(path), str(path)])

    show(_ROOT)
    return line


def ensure_available(
    view: View,
    host: HostTree,
    find_program: Callable[[str], str | None] = shutil.which,
    trial_command: Sequence[str] = ("true",),
) -> str:
    """The path of bubblewrap, once it has shown that it can make `view` and run `trial_command` in it; else
    MissingCapability, with what to do."""
    program = find_program(BUBBLEWRAP)
    if program is None:
        raise MissingCapability(what="bubblewrap", problem="the program `bwrap` is not installed", hint=INSTALL_HINT)
    trial = run_group(arguments(view, trial_command, host, program))
    if trial.returncode != 0:
        said = trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"]
        raise MissingCapability(what="a sandbox", problem=f"bubblewrap says: {said[-1]}", hint=NAMESPACE_HINT)
    return program
