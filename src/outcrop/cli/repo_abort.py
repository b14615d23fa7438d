"""`outcrop repo abort`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import shown
from outcrop.directories import data_directory
from outcrop.errors import OutcropError, UsageError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.transaction import AbortOutcome, Transactions


@click.command(
    "abort",
    epilog=examples(
        "outcrop repo abort software.example.org",
        "outcrop repo abort software.example.org --transaction 20261121-120000",
        "outcrop repo abort software.example.org --all --dry-run   # what would be thrown away",
    ),
)
@click.argument("fqrn")
@click.option("--transaction", "name", metavar="NAME", help="Which transaction, where several are open.")
@click.option("--all", "every", is_flag=True, help="Throw every transaction of the repository away.")
@dry_run_option
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, name: str | None, every: bool, dry_run: bool, as_json: bool) -> None:
    """Throw a transaction of the repository FQRN away, with all that was changed in it. Nothing is asked.

    It works whatever state the transaction is in: in use, half opened, with processes that were killed, after a
    restart of the machine. Programs that still use the view lose it from sight.
    """
    if name and every:
        raise UsageError(problem="one transaction or all of them?", hint="use --transaction NAME or --all, not both")
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    transactions = Transactions(repository, ClientMounts(repository))
    outcomes: list[AbortOutcome] = []
    kept: OutcropError | None = None
    for chosen in transactions.names() if every else [transactions.the_one(name)]:
        try:
            outcomes.append(transactions.abort(chosen, dry_run=dry_run))
        except OutcropError as error:
            # One that is at work keeps none of the others.
            kept = kept or error
    if as_json:
        console.json([_document(outcome) for outcome in outcomes])
    else:
        for outcome in outcomes:
            console.result(_sentence(outcome, dry_run))
        if every and not outcomes and kept is None:
            console.result(f"{fqrn} has no open transaction")
    if kept is not None:
        raise kept


def _document(outcome: AbortOutcome) -> dict[str, object]:
    return {
        "transaction": outcome.name,
        "path": None if outcome.path is None else shown(outcome.path),
        "changes": outcome.changes,
        "mounts": outcome.mounts,
    }


def _sentence(outcome: AbortOutcome, dry_run: bool) -> str:
    verb = "would be thrown away" if dry_run else "is thrown away"
    below = "" if outcome.path is None else f" in {shown(outcome.path)}"
    return f"{outcome.name} {verb}: {counted(outcome.changes, 'change')}{below}"
