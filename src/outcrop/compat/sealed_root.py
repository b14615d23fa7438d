"""A root that holds nothing but a layer: what runs in it proves that the layer needs nothing else.

The layer's directory is at its prefix, `/tmp`, `/dev` and `/proc` are there, and by choice a few more files. Made by
bubblewrap, without a privilege where users may have namespaces. A layer for another family runs under QEMU, whose
static program is then in the root as well.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from outcrop.compat.layout import LayerLayout
from outcrop.errors import CommandFailed, MissingCapability
from outcrop.software.sandbox import BUBBLEWRAP, INSTALL_HINT, NAMESPACE_HINT

QEMU_PLACE = PurePosixPath("/qemu")
"""Where QEMU is in a sealed root."""

_PATH = ("usr/bin", "usr/sbin")


@dataclass(frozen=True, slots=True)
class SealedRoot:
    """The root of the layer `tree` (a directory on this machine). `binds` are further paths, by where they appear;
    `qemu` is the static program that runs another family's, and `processor` the one that it plays."""

    layout: LayerLayout
    tree: Path
    bubblewrap: str
    writable: bool = False
    binds: Mapping[PurePosixPath, Path] = field(default_factory=dict)
    qemu: Path | None = None
    processor: str = ""
    extra_environment: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What a program finds by default: the layer's programs on the path, a home, no locale, and what is extra."""
        path = ":".join(f"{self.layout.prefix}/{place}" for place in _PATH)
        return {"PATH": path, "HOME": "/tmp", "LC_ALL": "C.UTF-8"} | dict(self.extra_environment)

    def command_line(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        """What to run on this machine so that `command` runs in the root, with exactly `environment`."""
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
        for target, source in self.binds.items():
            line += ["--ro-bind", str(source), str(target)]
        line += ["--clearenv", "--chdir", "/tmp"]
        for name, value in (self.environment() if environment is None else environment).items():
            line += ["--setenv", name, value]
        program: list[str] = []
        if self.qemu is not None:
            line += ["--ro-bind", str(self.qemu), str(QEMU_PLACE)]
            program = [str(QEMU_PLACE), *(["-cpu", self.processor] if self.processor else [])]
        return [*line, "--", *program, *command]

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "", seconds: int = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` in the root; what it wrote is taken as text, whatever it is."""
        line = self.command_line(command, environment)
        try:
            return subprocess.run(
                line, input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(line, 124, "", f"no answer in {seconds} s")

    def require(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` in the root; CommandFailed, with its last words, if it fails."""
        ended = self.run(command, environment, stdin)
        if ended.returncode != 0:
            words = (ended.stderr.strip() or ended.stdout.strip()).splitlines() or [f"exit code {ended.returncode}"]
            name = PurePosixPath(command[0]).name
            raise CommandFailed(
                what=f"the layer's `{name}`", problem=words[-1], hint="the layer is not usable; report it"
            )
        return ended


def sealed_root(
    layout: LayerLayout,
    tree: Path,
    *,
    writable: bool = False,
    find_program: Callable[[str], str | None] = shutil.which,
) -> SealedRoot:
    """The root for `tree` on this machine. MissingCapability where bubblewrap, or QEMU for another family, is
    missing."""
    bubblewrap = find_program(BUBBLEWRAP)
    if bubblewrap is None:
        raise MissingCapability(what="bubblewrap", problem="the program `bwrap` is not installed", hint=INSTALL_HINT)
    trial = subprocess.run(
        [bubblewrap, "--unshare-pid", "--unshare-net", "--bind", "/", "/", "--proc", "/proc", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode != 0:
        said = trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"]
        raise MissingCapability(what="a root of its own", problem=f"bubblewrap says: {said[-1]}", hint=NAMESPACE_HINT)
    return SealedRoot(layout, tree, bubblewrap, writable, qemu=_qemu(layout, find_program))


def _qemu(layout: LayerLayout, find_program: Callable[[str], str | None]) -> Path | None:
    if layout.family.name == platform.machine():
        return None
    for name in (f"{layout.family.qemu}-static", layout.family.qemu):
        program = find_program(name)
        if program is not None and os.access(program, os.X_OK):
            return Path(program).resolve()
    raise MissingCapability(
        what=f"running programs for {layout.family.name}",
        problem=f"the program `{layout.family.qemu}-static` is not installed",
        hint="install the package `qemu-user-static`, or build on such a machine",
    )
