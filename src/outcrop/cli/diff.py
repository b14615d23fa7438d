"""`outcrop diff`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from outcrop.cli.change_view import counts_text, size_text
from outcrop.cli.console import Console
from outcrop.cli.difference_view import difference_document, told
from outcrop.cli.moments import moment_document
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.revision_diff import ReadableRevision, readable_differences, readable_revision
from outcrop.cvmfs.catalog_diff import Difference
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import UsageError
from outcrop.stratum0.publishing.account import summary_of
from outcrop.stratum0.publishing.change import ChangeSummary


@click.command(
    "diff",
    epilog=examples(
        "outcrop diff software.example.org 2026.06 trunk",
        "outcrop diff software.example.org 41 42 /versions/2026.06",
        "outcrop diff software.example.org stable 2026.06 --json | jq -r '.changes[].path'",
    ),
)
@reading_options
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
    if reading.tag or reading.revision is not None or reading.root_hash:
        raise UsageError(
            problem="two revisions are compared, and an option names a third",
            hint="`outcrop diff REPO FROM TO`, where each is a tag, a number or a root catalog",
        )
    with reading.open(console) as repository:
        before, after = readable_revision(repository, old), readable_revision(repository, new)
        found = readable_differences(repository, before, after, below=repository_path(path))
        if as_json:
            console.json(_document(before, after, found))
        else:
            _tell(console, before, after, summary_of(told(console, found)))


def _tell(console: Console, before: ReadableRevision, after: ReadableRevision, summary: ChangeSummary) -> None:
    counts = counts_text(summary.added, summary.changed, summary.removed)
    attributes = sum(not change.content for change in summary.changes)
    only = f" ({attributes:,} in attributes only)" if attributes else ""
    console.result(
        f"from revision {before.revision} to {after.revision}: {counts}{only}; {size_text(summary.bytes_in)}"
    )


def _document(before: ReadableRevision, after: ReadableRevision, found: Iterable[Difference]) -> dict[str, object]:
    changes: list[dict[str, object]] = []
    summary = summary_of(_noted(found, changes))
    return {
        "from": _revision_document(before),
        "to": _revision_document(after),
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "bytes": summary.bytes_in,
        "changes": changes,
    }


def _noted(found: Iterable[Difference], changes: list[dict[str, object]]) -> Iterator[Difference]:
    for one in found:
        changes.append(difference_document(one))
        yield one


def _revision_document(revision: ReadableRevision) -> dict[str, object]:
    return {
        "revision": revision.revision,
        "root_catalog": str(revision.root.digest),
        "published": None if revision.published_at is None else moment_document(revision.published_at),
    }
