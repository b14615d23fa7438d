"""`outcrop compat promote`: the layer that was tested, by its digest, where users read it."""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import LayerPublishing, layer_publishing_options
from outcrop.cli.options import examples
from outcrop.cli.reading import Reading, reading_options
from outcrop.delivery.layer_publication import promote_layer


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
@click.pass_obj
def command(
    console: Console,
    reading: Reading,
    target: str,
    digest: str,
    publishing: LayerPublishing,
) -> None:
    """Publish the layer of REPO that has DIGEST into the repository FQRN.

    DIGEST is what `outcrop compat publish` has answered, or its first 12 digits or more. The layer is fetched and
    verified file by file: what users get is what was tested, to the byte.
    """
    with reading.open(console) as source, publishing.place(console, target) as place:
        published = promote_layer(source, digest.lower(), place, publishing.terms(console))
    publishing.tell(console, published)
