"""`outcrop repo transaction`"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.publishing import publishing_options, publishing_request
from outcrop.cli.repo_publish import tell_published
from outcrop.cli.terminal import is_terminal
from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import RepositoryPath, repository_path, shown
from outcrop.directories import data_directory
from outcrop.errors import OutcropError, UsageError
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.namespace import run_command
from outcrop.stratum0.transactions.overlay import Way, possible_ways
from outcrop.stratum0.transactions.transaction import OpenTransaction, Transactions, TransactionStatus
from outcrop.stratum0.transactions.working_directory import working_directory

_SHELL = "/bin/sh"


@click.command(
    "transaction",
    epilog=examples(
        "outcrop repo transaction software.example.org --path /versions/2026.06",
        "outcrop repo transaction software.example.org -- make install   # the command runs in the view",
        "outcrop repo transaction software.example.org --publish -m 'GCC 14' -- ./build.sh",
        "outcrop repo transaction software.example.org --resume 20261121-120000",
        "outcrop repo transaction software.example.org --list",
    ),
)
@click.argument("fqrn")
@click.argument("words", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.option(
    "--path", metavar="PATH", default="/", show_default=True, help="What may change; others may not meanwhile."
)
@click.option("--at", metavar="DIRECTORY", type=click.Path(path_type=Path), help="The empty directory to show it at.")
@click.option("--by", type=click.Choice([way.value for way in Way]), help="How the view is made; the best that works.")
@click.option("--publish", is_flag=True, help="Publish if COMMAND ends with 0, throw the changes away otherwise.")
@click.option("--resume", metavar="NAME", help="Go on with the transaction NAME, as after a restart of the machine.")
@click.option("--list", "listing", is_flag=True, help="Show the transactions that are open, and do nothing else.")
@publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    fqrn: str,
    words: tuple[str, ...],
    path: str,
    at: Path | None,
    by: str | None,
    publish: bool,
    resume: str | None,
    listing: bool,
    dry_run: bool,
    as_json: bool,
    **publishing: Any,
) -> int:
    """Open a writable view of the current revision of the repository FQRN, and print where it is.

    The view is changed like any directory, then `outcrop repo publish` makes one revision of it or `outcrop repo abort`
    throws it away. Nobody else can publish at or below PATH meanwhile. With COMMAND, this runs in the view, and its
    exit code is the answer. It runs in PATH; where PATH is a file, in the directory that holds it; where nothing is, in
    a new directory, which goes again if COMMAND leaves it empty. With --json, what COMMAND prints goes to standard
    error.

    Root's view is everybody's. Without root it needs fuse-overlayfs; where that is missing, the view shows inside a
    namespace only, in which COMMAND or a shell runs.

    --message also tells others what the transaction is about. All other options of `outcrop repo publish` belong to
    --publish.
    """
    if publish and not words:
        raise UsageError(
            problem="--publish needs a command", hint="`outcrop repo transaction FQRN --publish -- COMMAND`"
        )
    if not publish:
        _refuse_options_of_publishing(publishing)
    request = publishing_request(**publishing)
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    transactions = Transactions(repository, ClientMounts(repository))
    if listing:
        _list(console, transactions.statuses(), as_json)
        return 0
    place = None if at is None else Path(os.path.abspath(at))
    way = None if by is None else Way(by)
    if dry_run:
        _tell_plan(console, repository, transactions, repository_path(path), place, way, resume, as_json)
        return 0
    if resume is not None:
        opened = transactions.resume(transactions.the_one(resume), at=place)
    else:
        opened = transactions.open(
            repository_path(path), datetime.now(UTC), at=place, only=way, message=request.message
        )
    if words:
        return _run(console, transactions, opened, words, request if publish else None, as_json, is_new=resume is None)
    _tell(console, fqrn, opened, as_json)
    if opened.inside is not None and not as_json and sys.stdin is not None and is_terminal(sys.stdin):
        console.flush()
        run_command([os.environ.get("SHELL") or _SHELL], opened.directory, _environment(opened), inside=opened.inside)
    return 0


def _refuse_options_of_publishing(publishing: Mapping[str, object]) -> None:
    """UsageError for options that would be forgotten by the time of `outcrop repo publish`."""
    context = click.get_current_context()
    for name in publishing:
        if name != "message" and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                problem=f"{option} belongs to publishing",
                hint=f"give it to `outcrop repo publish`, or publish at once: `--publish {option} … -- COMMAND`",
            )


def _run(
    console: Console,
    transactions: Transactions,
    opened: OpenTransaction,
    words: Sequence[str],
    request: IngestRequest | None,
    as_json: bool,
    *,
    is_new: bool,
) -> int:
    """Runs `words` in the view; then publishes as `request` says, or leaves the transaction open without one.

    A new transaction in which they cannot run is aborted."""
    name, fqrn = opened.record.name, transactions.repository.name
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(working_directory(opened.directory, opened.view, inside=opened.inside))
        except OutcropError:
            if is_new:
                transactions.abort(name)
            raise
        # Standard output is one JSON document, whatever the command says.
        code = run_command(words, directory, _environment(opened), inside=opened.inside, output_as_errors=as_json)
    if request is None:
        console.note(
            f"the transaction {name} is open: `outcrop repo publish {fqrn}` or `outcrop repo abort {fqrn}` ends it"
        )
        if as_json:
            console.json({**_opened_document(opened), "exit_code": code})
        return code
    if code != 0:
        transactions.abort(name)
        console.note(f"{words[0]} ended with {code}: its changes were thrown away")
        if as_json:
            console.json({"transaction": name, "repository": fqrn, "published": False, "exit_code": code})
        return code
    outcome = transactions.publish(name, request, datetime.now(UTC), progress=console.progress())
    tell_published(console, fqrn, outcome, as_json)
    return code


def _environment(opened: OpenTransaction) -> dict[str, str]:
    return {**os.environ, "OUTCROP_TRANSACTION": opened.record.name, "OUTCROP_VIEW": str(opened.view)}


def _tell(console: Console, fqrn: str, opened: OpenTransaction, as_json: bool) -> None:
    record = opened.record
    if as_json:
        console.json(_opened_document(opened))
        return
    console.note(
        f"the transaction {record.name} shows revision {record.base_revision}; {shown(record.path)} may change"
    )
    if opened.inside is not None:
        resume = f"outcrop repo transaction {fqrn} --resume {record.name} -- COMMAND"
        console.note(f"it shows inside a namespace only, in which `{resume}` runs a command")
    console.note(f"`outcrop repo publish {fqrn}` publishes it, `outcrop repo abort {fqrn}` throws it away")
    console.result(str(opened.view))


def _opened_document(opened: OpenTransaction) -> dict[str, object]:
    record = opened.record
    return {
        "transaction": record.name,
        "view": str(opened.view),
        "path": shown(record.path),
        "by": record.way.value if record.way else None,
        "visible": opened.inside is None,
        "base_revision": record.base_revision,
    }


def _tell_plan(
    console: Console,
    repository: OwnedRepository,
    transactions: Transactions,
    path: RepositoryPath,
    at: Path | None,
    way: Way | None,
    resume: str | None,
    as_json: bool,
) -> None:
    ways = (way,) if way else possible_ways(os.geteuid())
    if resume is not None:
        status = transactions.status(transactions.the_one(resume))
        base = status.record.base_revision if status.record else None
        view = at or status.view
    else:
        transactions.leases.require_free([path])
        base = repository.manifest(repository.signing_key()).revision
        view = at or transactions.place("NAME").view
    plan = {
        "open": f"revision {base} of {repository.name}",
        "changing": shown(path),
        "at": str(view),
        "by": ", else ".join(one.value for one in ways),
    }
    if as_json:
        console.json(plan)
        return
    for word, value in plan.items():
        console.result(f"{word:10} {value}")


def _list(console: Console, statuses: Sequence[TransactionStatus], as_json: bool) -> None:
    if as_json:
        console.json([_document(status) for status in statuses])
        return
    rows = []
    for status in statuses:
        record = status.record
        if record is None:
            console.warning(status.trouble)
        rows.append(
            (
                status.name,
                shown(record.path) if record else "?",
                record.stage.value if record else "?",
                record.holder if record else "?",
                f"{record.since:%Y-%m-%d %H:%M:%S}" if record else "?",
                str(status.view) if status.is_mounted else "not mounted",
            )
        )
    console.table(("TRANSACTION", "PATH", "STAGE", "HOLDER", "SINCE", "VIEW"), rows)


def _document(status: TransactionStatus) -> dict[str, object]:
    record = status.record
    document: dict[str, object] = {
        "transaction": status.name,
        "mounted": status.is_mounted,
        "view": str(status.view),
        "leased": status.lease is not None,
        "trouble": status.trouble or None,
    }
    if record is not None:
        document |= {
            "path": shown(record.path),
            "stage": record.stage.value,
            "holder": record.holder,
            "since": f"{record.since:%Y-%m-%dT%H:%M:%SZ}",
            "base_revision": record.base_revision,
            "by": record.way.value if record.way else None,
            "message": record.message,
        }
    return document
