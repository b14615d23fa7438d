"""What commands that read easystacks share: the easystacks, the mirror of sources, easyconfigs of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.options import Command
from outcrop.directories import cache_directory

_MIRROR_DIRECTORY = "sources"


def easystacks_argument(command: Command) -> Command:
    """`EASYSTACK...`, at least one."""
    return click.argument(
        "easystacks", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EASYSTACK..."
    )(command)


def source_options(command: Command) -> Command:
    """`--mirror` and `--easyconfigs`."""
    mirror = click.option(
        "--mirror",
        type=click.Path(path_type=Path, file_okay=False),
        help="The directory that holds the sources, by default in the cache directory.",
    )
    easyconfigs = click.option(
        "--easyconfigs",
        multiple=True,
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="A directory with easyconfigs of your own, searched first. May be given again.",
    )
    return mirror(easyconfigs(command))


def chosen_mirror(mirror: Path | None) -> Path:
    """The directory that `--mirror` names, or the default one."""
    return (mirror or cache_directory() / _MIRROR_DIRECTORY).absolute()
