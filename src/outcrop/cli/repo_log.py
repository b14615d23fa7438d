"""`outcrop repo log`"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.log import RevisionRecord, revisions
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "log",
    epilog=examples("outcrop repo log software.example.org", "outcrop repo log software.example.org -n 5 --json"),
)
@click.argument("fqrn")
@click.option("-n", "count", type=click.IntRange(min=1), help="Only the newest COUNT revisions.")
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, count: int | None, as_json: bool) -> None:
    """List the revisions of the repository FQRN, newest first, with their tags and messages."""
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    manifest = repository.manifest(repository.signing_key())
    records = islice(revisions(repository, manifest), count)
    if as_json:
        console.json([_document(record) for record in records])
        return
    headings = ("REVISION", "PUBLISHED", "ENTRIES", "BYTES", "TAGS", "MESSAGE")
    console.table(headings, [_row(record) for record in records])


def _published(record: RevisionRecord) -> datetime:
    return datetime.fromtimestamp(record.published_at, UTC)


def _row(record: RevisionRecord) -> tuple[str, ...]:
    return (
        str(record.revision),
        f"{_published(record):%Y-%m-%d %H:%M:%S}",
        f"{record.entries:,}",
        f"{record.bytes:,}",
        ", ".join(record.tags) or "-",
        record.message,
    )


def _document(record: RevisionRecord) -> dict[str, object]:
    return {
        "revision": record.revision,
        "root_catalog": str(record.root_catalog),
        "published": f"{_published(record):%Y-%m-%dT%H:%M:%SZ}",
        "entries": record.entries,
        "bytes": record.bytes,
        "tags": list(record.tags),
        "message": record.message,
    }
