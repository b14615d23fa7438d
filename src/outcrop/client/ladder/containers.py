"""The command lines of tools that show a directory at another place: bubblewrap, Apptainer, PRoot.

bubblewrap may be setuid, or be trusted by AppArmor, where users have no namespaces otherwise; so may Apptainer. Neither
takes the machine's own root as it is where `/cvmfs/<name>` is missing: bubblewrap gets the new root entry by entry, and
Apptainer runs an image that the user names. PRoot needs ptrace only. Podman is not among them: without root it stands
on user namespaces, and where those work, nothing is left for it to do.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.root_plan import Kind, RootPlan

BUBBLEWRAP = "bwrap"
PROOT = "proot"
APPTAINER_NAMES = ("apptainer", "singularity")


def bubblewrap_line(program: str, plan: RootPlan, source: Path, directory: str, command: Sequence[str]) -> list[str]:
    """Runs `command` in `directory` with `source` at the place of `plan`. It ends with the process that starts it."""
    line = [program, "--die-with-parent"]
    if plan.is_direct:
        line += ["--dev-bind", "/", "/"]
    for opened in plan.opened[1:]:
        line += ["--dir", str(opened)]
    for entry in plan.carried:
        if entry.kind is Kind.LINK:
            line += ["--symlink", entry.target, str(entry.path)]
        else:
            line += ["--dev-bind-try", str(entry.path), str(entry.path)]
    return [*line, "--ro-bind", str(source), str(plan.place), "--chdir", directory, "--", *command]


def apptainer_line(
    program: str, image: str, source: Path, place: PurePosixPath, directory: str, command: Sequence[str]
) -> list[str]:
    """Runs `command` in `image` with `source` at `place`."""
    return [program, "exec", "--bind", f"{source}:{place}:ro", "--pwd", directory, image, *command]


def proot_line(program: str, source: Path, place: PurePosixPath, directory: str, command: Sequence[str]) -> list[str]:
    """Runs `command` in `directory` with `source` at `place`. PRoot pretends that the place is there."""
    return [program, "-b", f"{source}:{place}", "-w", directory, *command]
