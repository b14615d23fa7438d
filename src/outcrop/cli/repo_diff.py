"""`outcrop repo diff`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.difference_view import ComparedRevision, Comparison
from outcrop.cli.options import examples, json_option
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.directories import data_directory
from outcrop.stratum0.history.log import RevisionRecord
from outcrop.stratum0.history.revision_diff import revision_differences
from outcrop.stratum0.history.revision_names import named_revision
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "diff",
    epilog=examples(
        "outcrop repo diff software.example.org   # what the last publish did",
        "outcrop repo diff software.example.org 2026.06 trunk --summary",
        "outcrop repo diff software.example.org ~5 --path /versions/2026.06",
        "outcrop repo diff software.example.org @2026-11-01 @2026-11-30 --json",
    ),
)
@click.argument("fqrn")
@click.argument("old", metavar="[FROM]", default=TRUNK_PREVIOUS)
@click.argument("new", metavar="[TO]", default=TRUNK)
@click.option("--path", metavar="PATH", default="/", help="Only what differs at or below PATH.")
@click.option("--summary", "summarised", is_flag=True, help="Whole directories as one line, and never many lines.")
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, old: str, new: str, path: str, summarised: bool, as_json: bool) -> None:
    """Show what differs between the revisions FROM and TO of the repository FQRN.

    A line begins with `+` for what TO has and FROM has not, `-` for what it lacks, `~` for what is another; with
    `(attributes)` if only mode, owner, time or the like differ. By default the last two revisions are compared.

    A revision is named by its number, a tag, `trunk`, `trunk-previous`, its root catalog, `@DATE` for the latest
    published until then, or `~N` for N before trunk (`stable~2` for two before a tag).
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    manifest = repository.manifest(repository.signing_key())
    before, after = named_revision(repository, manifest, old), named_revision(repository, manifest, new)
    comparison = Comparison(
        _compared(before),
        _compared(after),
        revision_differences(repository, before, after, below=repository_path(path)),
        summarised,
    )
    if as_json:
        console.json(comparison.document())
    else:
        comparison.show(console)


def _compared(record: RevisionRecord) -> ComparedRevision:
    return ComparedRevision(record.revision, record.root_catalog, record.published_at)
