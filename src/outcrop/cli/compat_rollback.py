"""`outcrop compat rollback`: the layer that was there before."""

from __future__ import annotations

import click

from outcrop.cli.compat_options import chosen_family
from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import LayerPublishing, layer_publishing_options
from outcrop.cli.options import examples
from outcrop.compat.layout import LayerLayout
from outcrop.cvmfs.names import repository_name
from outcrop.delivery.layer_publication import place_of
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
@click.pass_obj
def command(
    console: Console,
    fqrn: str,
    version: str,
    family: str | None,
    to: str,
    publishing: LayerPublishing,
) -> None:
    """Publish the layer once more that the VERSION of the stack in FQRN had before.

    The last change of the layer is undone: another one took its place, or it was deleted. What else was published since
    stays. What was built on the newer layer must find what it needs in the older one, too. A rollback can itself be
    rolled back.
    """
    layout = LayerLayout(repository_name(fqrn), version, chosen_family(family))
    with publishing.place(console, fqrn) as place:
        published = roll_layer_back(place, place_of(layout), publishing.terms(console), to.lower())
    publishing.tell(console, published)
