"""`outcrop compat publish`: a finished layer into a repository."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import LayerPublishing, layer_publishing_options
from outcrop.cli.options import examples
from outcrop.delivery.layer_publication import publish_layer


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
@click.pass_obj
def command(
    console: Console,
    layer: Path,
    fqrn: str,
    for_tests: bool,
    publishing: LayerPublishing,
) -> None:
    """Publish the finished LAYER into the repository FQRN, as one revision.

    Only a layer that is as it was built is published. Where one was before, its libraries are compared with what other
    files need of them, in the layer and in the software on top. Links that sites can redirect come along, below
    `defaults` of the repository. The answer is the layer's digest, by which `outcrop compat promote` takes it where
    users read it.
    """
    with publishing.place(console, fqrn) as place:
        terms = publishing.terms(console, for_tests=for_tests)
        published = publish_layer(Path(os.path.realpath(layer)), place, terms)
    publishing.tell(console, published)
