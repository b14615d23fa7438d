"""Every program of a layer starts, and those that its sets name are there."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from outcrop.compat.relocate.elf_image import MAGIC
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.verify.report import Checked, Finding, checked

DIRECTORIES = ("usr/bin", "usr/sbin")

_STARTS_SECONDS = 10
_NOT_STARTED = {126: "cannot be run", 127: "does not find what it needs"}
_SIGNALS = {132: "an instruction that this processor does not have", 134: "abort", 135: "bus error", 136: "arithmetic"}
_SIGNALS |= {139: "a wrong address", 159: "a system call that is forbidden"}

LEFT_ALONE = frozenset({"rdma-ndd", "munged", "dbus-daemon", "poweroff", "reboot", "halt"})
"""Programs that stay behind or change the machine when they are started. `dbus-daemon` answers, in a job."""


def programs_in(tree: Path) -> dict[str, str]:
    """The programs of the layer `tree`, by name: their paths below it."""
    found: dict[str, str] = {}
    for directory in DIRECTORIES:
        place = tree / directory
        if place.is_dir():
            for path in sorted(place.iterdir()):
                if path.is_file() and path.stat().st_mode & 0o111:
                    found.setdefault(path.name, f"{directory}/{path.name}")
    return found


def wanted_programs(tree: Path, names: Iterable[str]) -> Checked:
    """The programs `names`, which sets name, are in the layer."""
    there = programs_in(tree)
    wanted = sorted(set(names))
    return checked(
        len(wanted), (Finding(name, "is named by a set, and is not there") for name in wanted if name not in there)
    )


def start_script(prefix: str, paths: Iterable[str], timeout: str = "") -> str:
    """A script for the layer's shell that starts each program and prints its exit code and path. `timeout` is the
    program to limit them by, by default the layer's."""
    lines = [f"timeout={shlex.quote(timeout or f'{prefix}/usr/bin/timeout')}"]
    for path in paths:
        program = shlex.quote(f"{prefix}/{path}")
        lines.append(
            f'"$timeout" {_STARTS_SECONDS} {program} --version </dev/null >/dev/null 2>error; echo "$? {path}"'
        )
        lines.append('case $(<error) in *"error while loading shared libraries"*) echo "127 ' + path + '";; esac')
    return "\n".join(lines)


def all_start(root: SealedRoot) -> Checked:
    """Every program of the layer starts in `root` and ends by itself: what it answers to `--version` is its own
    business."""
    paths = [path for name, path in programs_in(root.tree).items() if name not in LEFT_ALONE]
    codes = codes_of(root, paths) if root.children_too else _codes_one_by_one(root, paths)
    findings = [finding for path in paths if (finding := started(path, codes.get(path, 127))) is not None]
    return checked(len(paths), findings)


def codes_of(root: SealedRoot, paths: Sequence[str], shell: str = "", timeout: str = "") -> dict[str, int]:
    """The exit codes of the programs `paths`, started in `root` by `shell` and limited by `timeout`, by default the
    layer's."""
    command = [shell or f"{root.layout.prefix}/usr/bin/bash"]
    script = start_script(str(root.layout.prefix), paths, timeout)
    ended = root.run(command, stdin=script, seconds=max(1, len(paths)) * _STARTS_SECONDS)
    return {path: int(code) for code, _, path in (line.partition(" ") for line in ended.stdout.splitlines())}


def _codes_one_by_one(root: SealedRoot, paths: Sequence[str]) -> dict[str, int]:
    """The exit codes of programs that QEMU runs without what they start; scripts, which are started by another program,
    count as started."""
    codes = {}
    for path in paths:
        with (root.tree / path).open("rb") as file:
            is_program = file.read(len(MAGIC)) == MAGIC
        command = [f"{root.layout.prefix}/{path}", "--version"]
        codes[path] = root.run(command, seconds=_STARTS_SECONDS).returncode if is_program else 0
    return codes


def started(path: str, code: int) -> Finding | None:
    """What the exit code of a program says against it; None where it started."""
    if code in _NOT_STARTED:
        return Finding(path, f"{_NOT_STARTED[code]} (exit code {code})")
    if code in _SIGNALS:
        return Finding(path, f"is ended by a signal: {_SIGNALS[code]} (exit code {code})")
    return None
