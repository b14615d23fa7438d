"""`outcrop compat promote`: the layer that was tested, by its digest, where users read it."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import (
    layer_place,
    layer_publishing_options,
    publication_document,
    tell_publication,
)
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.delivery.layer_publication import Allowances, Told, promote_layer


@click.command(
    name="promote",
    epilog=examples(
        "outcrop compat promote test.example.org software.example.org 4f1c09a7b2d3",
        "outcrop compat promote --dry-run test.example.org software.example.org 4f1c09a7b2d3   # what would change",
    ),
)
@reading_options
@click.argument("target", metavar="FQRN")
@click.argument("digest")
@layer_publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    reading: Reading,
    target: str,
    digest: str,
    software: str | None,
    allow_libc: bool,
    allow_breaks: bool,
    message: str,
    author: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the layer of REPO that has DIGEST into the repository FQRN.

    DIGEST is what `outcrop compat publish` has answered, or its first 12 digits or more. The layer is fetched and
    verified file by file: what users get is what was tested, to the byte.
    """
    with reading.open(console) as source, layer_place(console, target, software) as place:
        published = promote_layer(
            source,
            digest.lower(),
            place,
            Told(author, message, reason),
            Allowances(allow_libc, allow_breaks),
            now=datetime.now(UTC),
            dry_run=dry_run,
            progress=console.progress(),
        )
    if as_json:
        console.json(publication_document(published))
    else:
        tell_publication(console, published, dry_run=dry_run)
