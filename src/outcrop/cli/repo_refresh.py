"""`outcrop repo refresh`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.freshness_announcement import (
    DAY_SECONDS,
    DEFAULT_REPLICATION_SECONDS,
    MAXIMUM_FRESHNESS_SERVERS,
    FreshnessAnnouncement,
    is_web_address,
)
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue, UsageError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness_renewal import (
    FreshnessOutcome,
    announce_freshness,
    current_freshness,
    refresh,
)

_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_HOUR_SECONDS = 3600
_HELP = "`outcrop repo refresh --help`"


@click.command(
    "refresh",
    epilog=examples(
        "outcrop repo refresh tools.example.org   # for a timer, once a day",
        "outcrop repo refresh tools.example.org --announce 7",
        "outcrop repo refresh tools.example.org --announce 7 --server 'http://s0.example.org/cvmfs/@fqrn@'",
        "outcrop repo refresh tools.example.org --withdraw",
    ),
)
@click.argument("fqrn")
@click.option(
    "--announce",
    "days",
    type=click.IntRange(1, 3650),
    metavar="DAYS",
    help="Promise a record that is DAYS old at most; readers demand it from now on.",
)
@click.option("--withdraw", is_flag=True, help="Promise no record any more.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="URL",
    help="With --announce: a further place where the record lies, with @fqrn@ for the name. May be given again.",
)
@click.option(
    "--replication",
    "hours",
    type=click.IntRange(0, 3650 * 24),
    metavar="HOURS",
    help="With --announce: how long servers may go on with an older revision; "
    f"{DEFAULT_REPLICATION_SECONDS // _HOUR_SECONDS} unless it was announced otherwise.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    days: int | None,
    withdraw: bool,
    servers: tuple[str, ...],
    hours: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sign the freshness record of the repository FQRN anew, without a new revision.

    The record says which revision is current, and ends after the time that was announced: nobody can show readers an
    old revision for longer than that. Every publish renews it; where publishes are rarer, a timer has to. Readers of
    Outcrop demand it once it is announced, others ignore it.
    """
    if withdraw and days is not None:
        raise UsageError(problem="--announce and --withdraw contradict each other", hint=_HELP)
    if days is None and (servers or hours is not None):
        raise UsageError(problem="--server and --replication belong to --announce", hint=_HELP)
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    now = datetime.now(UTC)
    if days is not None:
        announcement = _announcement(repository, days, servers, hours)
        outcome = announce_freshness(repository, announcement, now, dry_run=dry_run)
    elif withdraw:
        outcome = announce_freshness(repository, None, now, dry_run=dry_run)
    else:
        outcome = refresh(repository, now, dry_run=dry_run)
    for note in outcome.notes:
        console.warning(note)
    if as_json:
        console.json(_document(repository.name, outcome, dry_run=dry_run))
        return
    console.result(_told(repository.name, outcome, dry_run=dry_run))
    if outcome.changed and outcome.freshness is not None:
        console.note(f"let a timer call `outcrop repo refresh {repository.name}` well before that")


def _announcement(
    repository: OwnedRepository, days: int, servers: tuple[str, ...], hours: int | None
) -> FreshnessAnnouncement:
    """What the options say; servers and hours that are not given stay as they were announced."""
    for server in servers:
        if not is_web_address(server):
            raise InvalidValue(
                what=f"the server {server!r}",
                problem="is no http or https URL",
                hint="write it as readers would, for example `--server 'http://s0.example.org/cvmfs/@fqrn@'`",
            )
    if len(servers) > MAXIMUM_FRESHNESS_SERVERS:
        raise UsageError(problem=f"--server is given more than {MAXIMUM_FRESHNESS_SERVERS} times", hint=_HELP)
    before = current_freshness(repository)
    announced = before.announcement if before is not None else FreshnessAnnouncement(days * DAY_SECONDS)
    return FreshnessAnnouncement(
        days * DAY_SECONDS,
        servers or announced.servers,
        announced.replication if hours is None else hours * _HOUR_SECONDS,
    )


def _told(name: RepositoryName, outcome: FreshnessOutcome, *, dry_run: bool) -> str:
    freshness = outcome.freshness
    if freshness is None or freshness.record is None:
        if not outcome.changed:
            return f"{name} promises no freshness record: nothing to withdraw"
        return f"{name} {'would promise' if dry_run else 'promises'} no freshness record any more"
    verb = "would hold" if dry_run else "holds"
    moment = datetime.fromtimestamp(freshness.record.expires, UTC)
    return f"the freshness record of {name} {verb} until {moment:{_MOMENT}}, for revision {freshness.record.revision}"


def _document(name: RepositoryName, outcome: FreshnessOutcome, *, dry_run: bool) -> dict[str, object]:
    freshness = outcome.freshness
    record = freshness.record if freshness is not None else None
    return {
        "repository": name,
        "published": not dry_run and (outcome.changed or freshness is not None),
        "announcement_changed": outcome.changed,
        "freshness": None
        if freshness is None or record is None
        else {
            "revision": record.revision,
            "oldest": record.oldest,
            "issued": f"{datetime.fromtimestamp(record.issued, UTC):{_MOMENT}}",
            "expires": f"{datetime.fromtimestamp(record.expires, UTC):{_MOMENT}}",
            "maximum_age": freshness.announcement.maximum_age,
            "servers": list(freshness.announcement.servers),
            "replication": freshness.announcement.replication,
        },
    }
