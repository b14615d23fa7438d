"""`outcrop repo publish`"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.publishing import (
    outcome_document,
    publishing_options,
    publishing_request,
    tell_notes,
    tell_outcome,
    tell_plan,
)
from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.publishing.ingest import IngestOutcome
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.transaction import PublishOutcome, Transactions


@click.command(
    "publish",
    epilog=examples(
        "outcrop repo publish software.example.org -m 'GCC 14'",
        "outcrop repo publish software.example.org --dry-run   # what would change; the view stays",
        "outcrop repo publish software.example.org --transaction 20261121-120000 --tag 2026.06",
    ),
)
@click.argument("fqrn")
@click.option("--transaction", "name", metavar="NAME", help="Which transaction, where several are open.")
@publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    fqrn: str,
    name: str | None,
    dry_run: bool,
    as_json: bool,
    **publishing: Any,
) -> None:
    """Make one revision of what a transaction of the repository FQRN has changed, and end the transaction.

    Its view is taken away first, so nobody may use it. What others have published elsewhere meanwhile stays. If
    publishing fails or is interrupted, the transaction stays, and the same command goes on where it stopped.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    transactions = Transactions(repository, ClientMounts(repository))
    request = publishing_request(**publishing)
    chosen = transactions.the_one(name)
    if dry_run:
        _tell_plan(console, chosen, transactions.plan(chosen, request, datetime.now(UTC)), as_json)
        return
    outcome = transactions.publish(chosen, request, datetime.now(UTC), progress=console.progress())
    tell_published(console, fqrn, outcome, as_json)


def _tell_plan(console: Console, name: str, outcome: IngestOutcome, as_json: bool) -> None:
    tell_notes(console, outcome)
    if as_json:
        console.json({"transaction": name, **outcome_document(outcome)})
    else:
        tell_plan(console, outcome)


def tell_published(console: Console, fqrn: str, outcome: PublishOutcome, as_json: bool) -> None:
    """Says what became of a transaction."""
    ingested = outcome.ingested
    if ingested is not None:
        tell_notes(console, ingested)
    if as_json:
        document = outcome_document(ingested) if ingested else {"repository": fqrn, "revision": outcome.revision}
        console.json({"transaction": outcome.name, **document})
    elif ingested is None:
        console.result(f"{outcome.name} was published before: {fqrn} is revision {outcome.revision} or later")
    else:
        tell_outcome(console, ingested)
