"""`outcrop repo diff`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from outcrop.cli.change_view import change_document, change_line, counts_text, path_line, size_text
from outcrop.cli.console import Console
from outcrop.cli.entry_view import entry_document
from outcrop.cli.moments import moment_document
from outcrop.cli.options import examples, json_option
from outcrop.cvmfs.catalog_diff import Aspect, Difference, Effect, Version
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.directories import data_directory
from outcrop.stratum0.history.log import RevisionRecord
from outcrop.stratum0.history.revision_diff import revision_differences
from outcrop.stratum0.history.revision_names import named_revision
from outcrop.stratum0.publishing.account import collapsed_changes, summary_of
from outcrop.stratum0.publishing.change import ChangeSummary
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
    found = revision_differences(repository, before, after, below=repository_path(path))
    if as_json:
        console.json(_document(before, after, found, summarised))
        return
    if summarised:
        summary = summary_of(found)
        for line in collapsed_changes(summary.changes).lines:
            console.result(change_line(line))
    else:
        summary = summary_of(_told(console, found))
    counts = counts_text(summary.added, summary.changed, summary.removed)
    attributes = sum(not change.content for change in summary.changes)
    only = f" ({attributes:,} in attributes only)" if attributes else ""
    console.result(
        f"from revision {before.revision} to {after.revision}: {counts}{only}; {size_text(summary.bytes_in)}"
    )


def _told(console: Console, found: Iterable[Difference]) -> Iterator[Difference]:
    for one in found:
        attributes_only = one.effect is Effect.CHANGED and not one.is_content
        console.result(path_line(one.effect, one.path, "attributes" if attributes_only else ""))
        yield one


def _document(
    before: RevisionRecord, after: RevisionRecord, found: Iterable[Difference], summarised: bool
) -> dict[str, object]:
    changes: list[dict[str, object]] = []
    if summarised:
        summary = summary_of(found)
        changes += map(change_document, collapsed_changes(summary.changes).lines)
    else:
        summary = summary_of(_noted(found, changes))
    return {
        "from": _revision_document(before),
        "to": _revision_document(after),
        **_totals_document(summary),
        "changes": changes,
    }


def _noted(found: Iterable[Difference], changes: list[dict[str, object]]) -> Iterator[Difference]:
    for one in found:
        changes.append(_difference_document(one))
        yield one


def _revision_document(record: RevisionRecord) -> dict[str, object]:
    return {
        "revision": record.revision,
        "root_catalog": str(record.root_catalog),
        "published": moment_document(record.published_at),
    }


def _totals_document(summary: ChangeSummary) -> dict[str, object]:
    return {
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "bytes": summary.bytes_in,
    }


def _difference_document(one: Difference) -> dict[str, object]:
    path = shown(one.path)
    return {
        "path": path,
        "effect": one.effect.name.lower(),
        "differs": [name for name, aspect in _ASPECTS.items() if aspect & one.aspects],
        "old": _version_document(path, one.old),
        "new": _version_document(path, one.new),
    }


_ASPECTS = {"kind": Aspect.KIND, "content": Aspect.CONTENT, "attributes": Aspect.ATTRIBUTES}


def _version_document(path: str, version: Version | None) -> dict[str, object] | None:
    return None if version is None else entry_document(path, version.entry, version.entry.symlink)
