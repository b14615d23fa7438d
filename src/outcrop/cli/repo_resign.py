"""`outcrop repo resign`"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.create import renew_whitelist
from outcrop.stratum0.keys import WHITELIST_DAYS
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "resign",
    epilog=examples("outcrop repo resign tools.example.org", "outcrop repo resign tools.example.org --days 90"),
)
@click.argument("fqrn")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=WHITELIST_DAYS, show_default=True, help="How long it is valid."
)
@dry_run_option
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, days: int, dry_run: bool, as_json: bool) -> None:
    """Sign the whitelist of the repository FQRN anew, so that readers go on trusting it.

    It needs the master key.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    now = datetime.now(UTC)
    if not dry_run:
        renew_whitelist(repository, now, days)
    expires = f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    if as_json:
        console.json({"repository": repository.name, "expires": expires, "signed": not dry_run})
        return
    console.result(f"the whitelist of {repository.name} {'would be' if dry_run else 'is'} valid until {expires}")
