"""`outcrop mount units`"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path, PurePosixPath

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples
from outcrop.client.mount.mountinfo import source_name
from outcrop.client.mount.units import (
    CUSTOMARY_PLACE,
    GeneratedFile,
    WantedMount,
    autofs_files,
    fstab_lines,
    mount_helper,
    systemd_files,
)
from outcrop.errors import storage_error

IDLE_SECONDS = 1800
"""Half an hour: a shell that looks in now and then finds it mounted, a node that has changed jobs is clean."""


@click.command(
    "units",
    epilog=examples(
        "outcrop mount units software.example.org                       # print systemd units",
        "outcrop mount units software.example.org --output /            # install them, as root",
        "outcrop mount units software.example.org data.example.org --autofs",
        "outcrop mount units software.example.org --fstab -o tag=2026.06",
    ),
)
@click.argument("repositories", metavar="REPO…", nargs=-1, required=True)
@click.option("--systemd", "form", flag_value="systemd", default=True, help="Automount units for systemd (default).")
@click.option("--autofs", "form", flag_value="autofs", help="A map for autofs, and the line that includes it.")
@click.option("--fstab", "form", flag_value="fstab", help="Lines for /etc/fstab, and the program that they need.")
@click.option(
    "--at",
    default=str(CUSTOMARY_PLACE),
    metavar="DIR",
    show_default=True,
    help="The directory below which each repository is mounted under its name.",
)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the mount: tag, revision, root-hash, key, cache, fqrn, external, by. May be given again.",
)
@click.option(
    "--idle",
    type=click.IntRange(min=0),
    default=IDLE_SECONDS,
    metavar="SECONDS",
    show_default=True,
    help="Unmount what nobody has used for so long; 0 for never.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files below DIR, in their places (`/` installs them), instead of printing them.",
)
@dry_run_option
@click.pass_obj
def command(
    console: Console,
    *,
    repositories: tuple[str, ...],
    form: str,
    at: str,
    options: tuple[str, ...],
    idle: int,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Generate the files by which a machine mounts each REPO when somebody looks into its directory."""
    wanted = [WantedMount(one, PurePosixPath(at) / source_name(one), options) for one in repositories]
    program = shutil.which("outcrop") or f"{sys.executable} -m outcrop"
    lines = ""
    if form == "autofs":
        files = autofs_files(wanted, program, idle)
    elif form == "fstab":
        files, lines = [mount_helper(program)], fstab_lines(wanted)
    else:
        files = systemd_files(wanted, program, idle)
    for file in files:
        if output is None or dry_run:
            _show(console, file, output)
        else:
            _write(file, output)
            console.note(f"{output / file.path} is written")
    if lines:
        console.result(lines.rstrip("\n"))
    if form == "systemd" and output == Path("/") and not dry_run:
        console.note("next: systemctl daemon-reload, then systemctl enable --now of each .automount unit")


def _show(console: Console, file: GeneratedFile, output: Path | None) -> None:
    if output is not None:
        console.result(f"write {output / file.path}")
        return
    console.result(f"# /{file.path} ({file.mode:04o})")
    console.result(file.text)


def _write(file: GeneratedFile, output: Path) -> None:
    path = output / file.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, "utf-8")
        path.chmod(file.mode)
    except OSError as error:
        raise storage_error(error, str(path)) from error
