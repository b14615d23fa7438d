"""`outcrop compat publish`: a finished layer into a repository."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import (
    layer_place,
    layer_publishing_options,
    publication_document,
    tell_publication,
)
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.delivery.layer_publication import Allowances, Told, publish_layer


@click.command(
    name="publish",
    epilog=examples(
        "outcrop compat publish versions/2026.06/compat/linux/x86_64 software.example.org",
        "outcrop compat publish --for-tests --software software.example.org LAYER test.example.org",
        "outcrop compat publish --dry-run LAYER software.example.org # what would change",
    ),
)
@click.argument("layer", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("fqrn")
@click.option("--for-tests", is_flag=True, help="Into a repository that its prefix does not name, for tests.")
@layer_publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    layer: Path,
    fqrn: str,
    for_tests: bool,
    software: str | None,
    allow_libc: bool,
    allow_breaks: bool,
    message: str,
    author: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the finished LAYER into the repository FQRN, as one revision.

    Only a layer that is as it was built is published. Where one was before, its libraries are compared with what other
    files need of them, in the layer and in the software on top. Links that sites can redirect come along, below
    `defaults` of the repository. The answer is the layer's digest, by which `outcrop compat promote` takes it where
    users read it.
    """
    with layer_place(console, fqrn, software) as place:
        published = publish_layer(
            Path(os.path.realpath(layer)),
            place,
            Told(author, message, reason),
            Allowances(allow_libc, allow_breaks, for_tests),
            now=datetime.now(UTC),
            dry_run=dry_run,
            progress=console.progress(),
        )
    if as_json:
        console.json(publication_document(published))
    else:
        tell_publication(console, published, dry_run=dry_run)
