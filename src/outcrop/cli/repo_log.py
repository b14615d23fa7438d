"""`outcrop repo log`"""

from __future__ import annotations

from collections.abc import Iterable

import click

from outcrop.cli.change_view import change_document, change_line
from outcrop.cli.changelog_markdown import markdown_changelog
from outcrop.cli.console import Console
from outcrop.cli.moments import moment_document, moment_text
from outcrop.cli.options import examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.cvmfs.revision_account import RevisionAccount
from outcrop.directories import data_directory
from outcrop.errors import UsageError
from outcrop.stratum0.history.changelog import LoggedRevision, Selection, changelog
from outcrop.stratum0.repository import OwnedRepository

_NOTHING = "-"
_HEADINGS = ("REVISION", "PUBLISHED", "AUTHOR", "ENTRIES", "BYTES", "CHANGES", "TAGS", "MESSAGE")


@click.command(
    "log",
    epilog=examples(
        "outcrop repo log software.example.org",
        "outcrop repo log software.example.org -n 5 --changes",
        "outcrop repo log software.example.org --path /versions/2026.06/software/gcc",
        "outcrop repo log software.example.org --since 2026.06 --format markdown   # since the tag 2026.06",
        "outcrop repo log software.example.org --since 2026-11-01 --until 2026-11-30 --json",
    ),
)
@click.argument("fqrn")
@click.option("--since", metavar="WHEN", help="Only what is newer: a date, or a revision or tag (itself not told).")
@click.option("--until", metavar="WHEN", help="Only what is older: a date, or a revision or tag (itself told).")
@click.option("--path", metavar="PATH", default="/", help="Only revisions that changed something at or below PATH.")
@click.option("-n", "count", type=click.IntRange(min=1), help="Only the newest COUNT revisions.")
@click.option("--changes", is_flag=True, help="Tell the changed paths of each revision, whole directories as one.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(("text", "json", "markdown")),
    show_default="text",
    help="How to write it.",
)
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    since: str | None,
    until: str | None,
    path: str,
    count: int | None,
    changes: bool,
    layout: str | None,
    as_json: bool,
) -> None:
    """List the revisions of the repository FQRN, newest first: when, by whom, why, and what changed.

    A date is one of ISO 8601, in UTC unless it says otherwise. Revisions are named as `outcrop repo diff` says.
    Markdown and JSON tell the changed paths as far as they were recorded; --changes works out those that were not,
    by comparing catalogs.
    """
    if as_json and layout not in (None, "json"):
        raise UsageError(problem=f"--json and --format {layout} contradict each other", hint="use one of them")
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    manifest = repository.manifest(repository.signing_key())
    selection = Selection(since, until, repository_path(path), count)
    logged = changelog(repository, manifest, selection, compare=changes)
    if as_json or layout == "json":
        console.json([_document(one) for one in logged])
    elif layout == "markdown":
        for part in markdown_changelog(repository.name, logged):
            console.result(part)
    elif changes:
        _tell_changes(console, logged)
    else:
        console.table(_HEADINGS, [_row(one) for one in logged])


def _row(one: LoggedRevision) -> tuple[str, ...]:
    record, totals = one.record, one.totals
    return (
        str(record.revision),
        moment_text(record.published_at),
        record.author or _NOTHING,
        f"{totals.entries:,}" if totals else _NOTHING,
        f"{totals.bytes:,}" if totals else _NOTHING,
        _counts(one.account),
        ", ".join(record.tags) or _NOTHING,
        record.message.partition("\n")[0],
    )


def _counts(account: RevisionAccount | None) -> str:
    return f"+{account.added} ~{account.changed} -{account.removed}" if account is not None else _NOTHING


def _tell_changes(console: Console, logged: Iterable[LoggedRevision]) -> None:
    """A line for each revision, what else its author says of it, and a line for each change, all indented."""
    for one in logged:
        number, moment, author, _, _, counts, tags, message = _row(one)
        console.result("  ".join((number, moment, author, counts, tags, message)).rstrip())
        for text in (*one.record.message.splitlines()[1:], *_reason(one)):
            console.result(f"    {text}".rstrip())
        for change in one.changes:
            console.result(f"    {change_line(change)}")


def _reason(one: LoggedRevision) -> list[str]:
    return [f"reason: {one.record.reason}"] if one.record.reason else []


def _document(one: LoggedRevision) -> dict[str, object]:
    record, account, totals = one.record, one.account, one.totals
    return {
        "revision": record.revision,
        "root_catalog": str(record.root_catalog),
        "published": moment_document(record.published_at),
        "author": record.author or None,
        "message": record.message,
        "reason": record.reason or None,
        "tags": list(record.tags),
        "entries": totals.entries if totals else None,
        "bytes": totals.bytes if totals else None,
        "added": account.added if account else None,
        "changed": account.changed if account else None,
        "removed": account.removed if account else None,
        "bytes_in": account.bytes if account else None,
        "truncated": account.truncated if account else None,
        "changes": [change_document(line) for line in one.changes] if account else None,
    }
