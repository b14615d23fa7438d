"""`outcrop compat rollback`: the layer that was there before."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.compat_options import chosen_family
from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import (
    layer_place,
    layer_publishing_options,
    publication_document,
    tell_publication,
)
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.compat.layout import LayerLayout
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.delivery.layer_publication import Allowances, Told
from outcrop.delivery.layer_rollback import roll_layer_back


@click.command(
    name="rollback",
    epilog=examples(
        "outcrop compat rollback software.example.org 2026.06 -m 'the new OpenSSL breaks curl'",
        "outcrop compat rollback --family aarch64 --to 4f1c09a7b2d3 software.example.org 2026.06",
        "outcrop compat rollback --dry-run software.example.org 2026.06     # what would change",
    ),
)
@click.argument("fqrn")
@click.argument("version")
@click.option("--family", metavar="F", help="The family, by default this machine's.")
@click.option("--to", default="", metavar="DIGEST", help="The layer to go back to, instead of the one before.")
@layer_publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    fqrn: str,
    version: str,
    family: str | None,
    to: str,
    software: str | None,
    allow_libc: bool,
    allow_breaks: bool,
    message: str,
    author: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the layer once more that the VERSION of the stack in FQRN had before.

    Only the layer goes back; what else was published since stays. What was built on the newer layer must find what it
    needs in the older one, too. A rollback can itself be rolled back.
    """
    layout = LayerLayout(repository_name(fqrn), version, chosen_family(family))
    with layer_place(console, fqrn, software) as place:
        published = roll_layer_back(
            place,
            repository_path(f"/{layout.relative}"),
            Told(author, message, reason),
            Allowances(allow_libc, allow_breaks),
            now=datetime.now(UTC),
            digest=to.lower(),
            dry_run=dry_run,
            progress=console.progress(),
        )
    if as_json:
        console.json(publication_document(published))
    else:
        tell_publication(console, published, dry_run=dry_run)
