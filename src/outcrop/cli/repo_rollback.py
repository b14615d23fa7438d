"""`outcrop repo rollback`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.author import author_option
from outcrop.cli.change_view import change_document, change_line, counts_text, size_text
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.history.rollback import RollbackOutcome, RollbackRequest, roll_back
from outcrop.stratum0.publishing.account import collapsed_changes
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "rollback",
    epilog=examples(
        "outcrop repo rollback software.example.org trunk-previous",
        "outcrop repo rollback software.example.org 2026.06 -m 'GCC 14 broke MPI' --reason 'wrong results'",
        "outcrop repo rollback software.example.org @2026-11-20 --dry-run   # what would change",
    ),
)
@click.argument("fqrn")
@click.argument("revision")
@click.option("--message", "-m", default="", help="What this is about, for `outcrop repo log`.")
@click.option("--reason", default="", help="Why a promise to users is broken, if one is.")
@click.option("--allow-expiring", is_flag=True, help="Publish even if the whitelist has expired, or soon will.")
@author_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    revision: str,
    message: str,
    reason: str,
    author: str,
    allow_expiring: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the tree of an older REVISION of the repository FQRN again, as a new revision.

    REVISION is named as `outcrop repo diff` says. Readers see the older tree under a higher number; nothing is lost:
    the revisions in between and all tags stay, and the rollback can itself be rolled back.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    request = RollbackRequest(revision, author, message, reason, allow_expiring)
    outcome = roll_back(repository, request, now=datetime.now(UTC), dry_run=dry_run, progress=console.progress())
    for note in outcome.notes:
        console.warning(note)
    if as_json:
        console.json(_document(outcome))
        return
    if dry_run:
        for line in collapsed_changes(outcome.summary.changes).lines:
            console.result(change_line(line))
    _tell(console, outcome, dry_run)


def _document(outcome: RollbackOutcome) -> dict[str, object]:
    summary, manifest = outcome.summary, outcome.manifest
    return {
        "repository": manifest.repository,
        "published": outcome.published,
        "revision": manifest.revision,
        "root_catalog": str(manifest.root_catalog),
        "target": outcome.target.revision,
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "bytes": summary.bytes_in,
        "changes": [change_document(line) for line in collapsed_changes(summary.changes).lines],
    }


def _tell(console: Console, outcome: RollbackOutcome, dry_run: bool) -> None:
    summary, manifest, target = outcome.summary, outcome.manifest, outcome.target.revision
    counts = f"{counts_text(summary.added, summary.changed, summary.removed)}; {size_text(summary.bytes_in)}"
    name, tree = manifest.repository, f"the tree of revision {target}"
    if summary.is_empty:
        console.result(f"{name} has {tree} already: still revision {manifest.revision}")
    elif dry_run:
        console.result(f"{name} would become revision {manifest.revision + 1} with {tree}: {counts}")
    else:
        console.result(f"{name} is now revision {manifest.revision} with {tree}: {counts}")
