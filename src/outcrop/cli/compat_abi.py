"""`outcrop compat abi`: what breaks when one layer takes another's place."""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import interfaces_document
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.abi.layers import DirectoryFiles, compare_layers, interfaces_below
from outcrop.errors import InvalidValue

_directory = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command(
    name="abi",
    epilog=examples(
        "outcrop compat abi versions/2026.06/compat/linux/x86_64 ./new",
        "outcrop compat abi --on-top versions/2026.06/software ./old ./new",
    ),
)
@click.argument("old", type=_directory)
@click.argument("new", type=_directory)
@click.option(
    "--on-top",
    "on_top",
    multiple=True,
    type=_directory,
    help="A directory with what was built on OLD. May be given again.",
)
@json_option
@click.pass_obj
def command(console: Console, old: Path, new: Path, on_top: tuple[Path, ...], as_json: bool) -> None:
    """Say what breaks when the layer NEW takes the place of OLD.

    Looked at are the libraries that changed: their names, the symbols and versions that they give, and the size of
    their variables; against them, what every program and library needs. It fails if anything breaks.
    """
    users = {
        str(directory / path): found for directory in on_top for path, found in interfaces_below(directory).items()
    }
    report = compare_layers(DirectoryFiles(old), DirectoryFiles(new), users)
    if as_json:
        console.json(interfaces_document(report))
    else:
        if report.breaks:
            console.table(("FILE", "NEEDS", "PROBLEM"), [(one.user, one.library, one.problem) for one in report.breaks])
        console.note(
            f"{counted(len(report.libraries), 'library', 'libraries')} changed, "
            f"{counted(report.users, 'file')} compared, {counted(len(report.breaks), 'break')}"
        )
    if report.breaks:
        raise InvalidValue(
            what=str(new),
            problem=f"breaks {counted(len({one.user for one in report.breaks}), 'file')} that work with {old}",
            hint="publish it as a new version of the stack, or build again what it breaks",
        )
