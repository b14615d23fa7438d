"""`outcrop config list`"""

from __future__ import annotations

import os

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.client.configuration import load_known_repositories, stock_access
from outcrop.client.known_repository import ListedRepository
from outcrop.directories import config_directory, data_directory


@click.command("list", epilog=examples("outcrop config list", "outcrop config list --json"))
@json_option
@click.pass_obj
def command(console: Console, *, as_json: bool) -> None:
    """List the repositories that can be read by their names, and where each of them comes from.

    A name with a star is a domain: any repository in it can be read. No network is asked.
    """
    known = load_known_repositories(
        config_directory(), data_directory(), stock_access(os.environ, console.warning), os.environ
    )
    found = known.listing()
    if as_json:
        console.json([{"repository": _name(one), "domain": one.is_domain, "source": one.source} for one in found])
        return
    console.table(("REPOSITORY", "FROM"), [(_name(one), one.source) for one in found])
    if not found:
        console.note(f"none; name one in {config_directory()}/config.toml, or install a configuration for CernVM-FS")


def _name(listed: ListedRepository) -> str:
    return f"*.{listed.name}" if listed.is_domain else listed.name
