"""A root that holds nothing but a layer: what runs in it proves that the layer needs nothing else.

The layer's directory is at its prefix, `/tmp`, `/dev` and `/proc` are there, and by choice a few more files. Made by
bubblewrap, without a privilege where users may have namespaces.

A layer for another family runs under QEMU. Since Linux 6.7 a namespace of users has its own list of what starts which
programs (binfmt_misc): there QEMU is entered, for the layer and for nobody else, and everything that a program starts
is emulated as well. Elsewhere QEMU's static program is in the root, and runs one program at a time. Its processor is
the family's oldest.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from outcrop.compat.family import Family
from outcrop.compat.layout import LayerLayout
from outcrop.errors import CommandFailed, MissingCapability, storage_error
from outcrop.process_group import run_group
from outcrop.software.sandbox import BUBBLEWRAP, INSTALL_HINT, NAMESPACE_HINT

QEMU_PLACE = PurePosixPath("/qemu")
"""Where QEMU is in a sealed root."""

_PATH = ("usr/bin", "usr/sbin")


@dataclass(frozen=True, slots=True)
class SealedRoot:
    """The root of the layer `tree` (a directory on this machine). `shared` is a directory with what the repository has
    beside its versions, if that is there, too. `binds` are further paths, by where they appear, links as links;
    `qemu` is the static program that runs another family's; `children_too` whether also what these start."""

    layout: LayerLayout
    tree: Path
    bubblewrap: str
    writable: bool = False
    shared: Path | None = None
    binds: Mapping[PurePosixPath, Path] = field(default_factory=dict)
    qemu: Path | None = None
    children_too: bool = True
    extra_environment: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What a program finds by default: the layer's programs on the path, a home, no locale, and what is extra."""
        path = ":".join(f"{self.layout.prefix}/{place}" for place in _PATH)
        processor = {} if self.qemu is None else {"QEMU_CPU": self.layout.family.oldest}
        return {"PATH": path, "HOME": "/tmp", "LC_ALL": "C.UTF-8"} | processor | dict(self.extra_environment)

    def command_line(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        """What to run on this machine so that `command` runs in the root, with exactly `environment`."""
        line = self.bubblewrap_line(environment)
        if self.qemu is None:
            return [*line, "--", *command]
        if self.children_too:
            return [*entered(self.layout.family, self.qemu), *line, "--", *command]
        return [*line, "--ro-bind", str(self.qemu), str(QEMU_PLACE), "--", str(QEMU_PLACE), *command]

    def bubblewrap_line(self, environment: Mapping[str, str] | None = None) -> list[str]:
        """The call of bubblewrap that makes the root, up to the command."""
        line = [
            self.bubblewrap,
            "--die-with-parent",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-net",
            "--new-session",
        ]
        line += ["--tmpfs", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        line += ["--bind" if self.writable else "--ro-bind", str(self.tree), str(self.layout.prefix)]
        shared = sorted(self.shared.iterdir()) if self.shared is not None else ()
        beside = {self.layout.mount_point / entry.name: entry for entry in shared}
        for seen, entry in (beside | dict(self.binds)).items():
            how = ["--symlink", os.readlink(entry)] if entry.is_symlink() else ["--ro-bind", str(entry)]
            line += [*how, str(seen)]
        line += ["--clearenv", "--chdir", "/tmp"]
        for name, value in (self.environment() if environment is None else environment).items():
            line += ["--setenv", name, value]
        return line

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "", seconds: int = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` in the root; what it wrote is taken as text, whatever it is."""
        line = self.command_line(command, environment)
        try:
            return run_group(line, stdin=stdin, seconds=seconds)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(line, 124, "", f"no answer in {seconds} s")

    def require(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` in the root; CommandFailed, with its last words, if it fails, StorageError for a full disk."""
        ended = self.run(command, environment, stdin)
        self.require_room(ended)
        if ended.returncode != 0:
            words = (ended.stderr.strip() or ended.stdout.strip()).splitlines() or [f"exit code {ended.returncode}"]
            name = PurePosixPath(command[0]).name
            raise CommandFailed(
                what=f"the layer's `{name}`", problem=words[-1], hint="the layer is not usable; report it"
            )
        return ended

    def require_room(self, ended: subprocess.CompletedProcess[str]) -> None:
        """StorageError where a program that has `ended` says that the disk is full."""
        for number in (errno.ENOSPC, errno.EDQUOT):
            if ended.returncode != 0 and os.strerror(number) in ended.stdout + ended.stderr:
                raise storage_error(OSError(number, os.strerror(number)), str(self.tree))


def sealed_root(
    layout: LayerLayout,
    tree: Path,
    *,
    writable: bool = False,
    find_program: Callable[[str], str | None] = shutil.which,
    shared: Path | None = None,
) -> SealedRoot:
    """The root for `tree` on this machine. MissingCapability where bubblewrap, or QEMU for another family, is
    missing."""
    bubblewrap = find_program(BUBBLEWRAP)
    if bubblewrap is None:
        raise MissingCapability(what="bubblewrap", problem="the program `bwrap` is not installed", hint=INSTALL_HINT)
    trial = run_group([bubblewrap, "--unshare-pid", "--unshare-net", "--bind", "/", "/", "--proc", "/proc", "true"])
    if trial.returncode != 0:
        said = trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"]
        raise MissingCapability(what="a root of its own", problem=f"bubblewrap says: {said[-1]}", hint=NAMESPACE_HINT)
    qemu = _qemu(layout, find_program)
    children_too = qemu is None or can_enter(layout.family, qemu)
    return SealedRoot(layout, tree, bubblewrap, writable, shared, qemu=qemu, children_too=children_too)


NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""What gives a program its own list, which it may write."""

_ENTER = """\
set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register
shift
exec "$@"
"""
"""The list lasts as long as it is mounted, which nobody else sees."""

_MASK = "\\xff" * 7 + "\\x00" + "\\xff" * 8 + "\\xfe\\xff\\xff\\xff"
"""What of the first bytes counts: not the system's name, and fixed addresses or not."""


def entered(family: Family, qemu: Path) -> list[str]:
    """The beginning of a command line in which QEMU runs the programs of `family`. Source: the kernel's
    `admin-guide/binfmt-misc`; `F` opens QEMU now, so that it need not be in the root."""
    return [*NAMESPACE, "sh", "-c", _ENTER, "sh", rule(family, str(qemu))]


def rule(family: Family, qemu: str) -> str:
    """The kernel's rule by which `qemu` runs the programs of `family`."""
    machine = f"\\x{family.machine & 0xFF:02x}\\x{family.machine >> 8:02x}"
    magic = "\\x7fELF\\x02\\x01\\x01" + "\\x00" * 9 + "\\x02\\x00" + machine
    return f":{family.qemu}:M::{magic}:{_MASK}:{qemu}:F"


def can_enter(family: Family, qemu: Path) -> bool:
    """Whether this kernel lets `qemu` run the programs of `family` in a namespace; tried with one of this machine's."""
    try:
        trial = subprocess.run(
            [*entered(family, qemu), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return False
    return trial.returncode == 0


def _qemu(layout: LayerLayout, find_program: Callable[[str], str | None]) -> Path | None:
    if layout.family.name == platform.machine():
        return None
    program = static_qemu(layout.family, find_program)
    if program is not None:
        return program
    raise MissingCapability(
        what=f"running programs for {layout.family.name}",
        problem=f"the program `{layout.family.qemu}-static` is not installed",
        hint="install the package `qemu-user-static`, or build on such a machine",
    )


def static_qemu(family: Family, find_program: Callable[[str], str | None] = shutil.which) -> Path | None:
    """This machine's QEMU for programs of `family`; None without one."""
    for name in (f"{family.qemu}-static", family.qemu):
        program = find_program(name)
        if program is not None and os.access(program, os.X_OK):
            return Path(program).resolve()
    return None
