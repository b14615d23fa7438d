"""`outcrop repo retire`"""

from __future__ import annotations

from datetime import UTC, date, datetime

import click

from outcrop.cli.author import author_option
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.notices import Notice, Notices, NoticeState, moment_text
from outcrop.cvmfs.paths import RepositoryPath, repository_path, shown
from outcrop.directories import data_directory
from outcrop.errors import UsageError
from outcrop.stratum0.promises.retire import Publication, announce, current_revision, doubts, retire_due, withdraw
from outcrop.stratum0.publishing.ingest import IngestOutcome
from outcrop.stratum0.repository import OwnedRepository

_HELP = "`outcrop repo retire --help`"


@click.command(
    "retire",
    epilog=examples(
        "outcrop repo retire software.example.org",
        "outcrop repo retire software.example.org /gcc/13 --on 2027-06-01 --successor /gcc/14",
        "outcrop repo retire software.example.org /gcc/13 --withdraw --reason 'still needed'",
        "outcrop repo retire software.example.org --due   # carry out what is due, for a timer",
    ),
)
@click.argument("fqrn")
@click.argument("path", required=False)
@click.option("--on", metavar="DATE", help="The day from which PATH may go, as YYYY-MM-DD; it begins at 00:00 UTC.")
@click.option("--successor", metavar="PATH", help="What users should use instead.")
@click.option("--message", "-m", default="", help="Why, in the words that users will read.")
@click.option("--withdraw", "withdrawing", is_flag=True, help="Take the notice for PATH back.")
@click.option("--reason", default="", help="Why this is done, for the log.")
@click.option("--due", is_flag=True, help="Take away all whose day has come, and leave stubs.")
@click.option("--allow-expiring", is_flag=True, help="Publish though the whitelist has expired or soon will.")
@author_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    path: str | None,
    on: str | None,
    successor: str | None,
    message: str,
    withdrawing: bool,
    reason: str,
    due: bool,
    allow_expiring: bool,
    author: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Announce that PATH will be taken out of the repository FQRN, or list what was announced.

    The notice is published as /.outcrop/notices.json, where clients find it. Until its day nothing takes PATH away,
    whatever the reason; then --due, or a publish that deletes PATH, does, and leaves a stub that names the successor.
    """
    _require_one_purpose(path, on, withdrawing, due)
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    now = datetime.now(UTC)
    if path is None and not due:
        with current_revision(repository) as current:
            _list(console, current.notices, now, as_json)
        return
    how = Publication(now, author, dry_run, console.progress(), reason, allow_expiring)
    if due:
        outcome = retire_due(repository, how)
    elif withdrawing:
        outcome = withdraw(repository, repository_path(path or ""), reason, how)
    else:
        notice = Notice(
            path=repository_path(path or ""),
            on=_day(on or ""),
            since=now,
            successor=repository_path(successor) if successor else None,
            message=message,
            by=author,
        )
        for doubt in doubts(repository, notice):
            console.warning(doubt)
        outcome = announce(repository, notice, how)
        if not as_json and not outcome.summary.is_empty:
            verb = "would be" if dry_run else "is"
            console.result(f"{shown(notice.path)} {verb} announced to go on {notice.on.isoformat()}, from 00:00 UTC on")
    _tell(console, outcome, dry_run, as_json)


def _require_one_purpose(path: str | None, on: str | None, withdrawing: bool, due: bool) -> None:
    if path is None and (on is not None or withdrawing):
        raise UsageError(problem="no PATH is given", hint=_HELP)
    if due and path is not None:
        raise UsageError(problem="--due is about every notice, so no PATH goes with it", hint=_HELP)
    if path is not None and (on is not None) == withdrawing:
        raise UsageError(problem="PATH wants either --on DATE or --withdraw", hint=_HELP)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise UsageError(
            problem=f"--on {text!r} is no day of the form YYYY-MM-DD", hint="for example `--on 2027-06-01`"
        )
    return day


def _list(console: Console, notices: Notices, now: datetime, as_json: bool) -> None:
    if as_json:
        console.json([_document(notice, now) for notice in notices])
        return
    console.table(("PATH", "ON", "STATE", "SUCCESSOR", "MESSAGE"), [_row(notice, now) for notice in notices])
    due = len(notices.in_state(NoticeState.DUE, now))
    if due:
        console.note(f"{due} due: the option --due carries them out")


def _row(notice: Notice, now: datetime) -> tuple[str, ...]:
    return (
        shown(notice.path),
        notice.on.isoformat(),
        notice.state(now).value,
        _shown(notice.successor) or "-",
        notice.message,
    )


def _document(notice: Notice, now: datetime) -> dict[str, object]:
    return {
        "path": shown(notice.path),
        "on": notice.on.isoformat(),
        "state": notice.state(now).value,
        "successor": _shown(notice.successor),
        "message": notice.message,
        "since": moment_text(notice.since),
        "by": notice.by,
        "done": moment_text(notice.done) if notice.done else None,
    }


def _shown(path: RepositoryPath | None) -> str | None:
    return None if path is None else shown(path)


def _tell(console: Console, outcome: IngestOutcome, dry_run: bool, as_json: bool) -> None:
    changes, manifest = outcome.summary.changes, outcome.manifest
    if as_json:
        console.json(
            {
                "repository": manifest.repository,
                "published": outcome.published,
                "revision": manifest.revision,
                "changes": [{"path": shown(change.path), "effect": change.effect.name.lower()} for change in changes],
            }
        )
        return
    if dry_run:
        for change in changes:
            console.result(f"{change.effect.value} {shown(change.path)}")
    if not changes:
        console.result(f"{manifest.repository} has nothing to change: still revision {manifest.revision}")
    elif dry_run:
        console.result(f"{manifest.repository} would become revision {manifest.revision + 1}")
    else:
        console.result(f"{manifest.repository} is now revision {manifest.revision}")
