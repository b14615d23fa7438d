"""`outcrop diff`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.difference_view import ComparedRevision, Comparison
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.client.revision_diff import ReadableRevision, readable_differences, readable_revision
from outcrop.cvmfs.paths import repository_path


@click.command(
    "diff",
    epilog=examples(
        "outcrop diff software.example.org 2026.06 trunk",
        "outcrop diff software.example.org 41 42 /versions/2026.06",
        "outcrop diff software.example.org stable 2026.06 --json | jq -r '.changes[].path'",
    ),
)
@reading_options_with(one_revision=False)
@click.argument("old", metavar="FROM")
@click.argument("new", metavar="TO")
@click.argument("path", metavar="[PATH]", default="/")
@json_option
@click.pass_obj
def command(console: Console, *, reading: Reading, old: str, new: str, path: str, as_json: bool) -> None:
    """Show what differs between the revisions FROM and TO of the repository REPO, at or below PATH.

    A line begins with `+` for what TO has and FROM has not, `-` for what it lacks, `~` for what is another; with
    `(attributes)` if only mode, owner, time or the like differ.

    A revision is named by its number or a tag, as `trunk` (the current one) or `trunk-previous`, or by its root
    catalog. Catalogs are fetched for that where they differ, and no files.
    """
    with reading.open(console) as repository:
        before, after = readable_revision(repository, old), readable_revision(repository, new)
        found = readable_differences(repository, before, after, below=repository_path(path))
        comparison = Comparison(_compared(before), _compared(after), found)
        if as_json:
            console.json(comparison.document())
        else:
            comparison.show(console)


def _compared(revision: ReadableRevision) -> ComparedRevision:
    return ComparedRevision(revision.revision, revision.root.digest, revision.published_at)
