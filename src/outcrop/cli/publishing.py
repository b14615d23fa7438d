"""What every command that publishes entries has in common: its options, and how it tells what was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from outcrop.cli.author import author_option
from outcrop.cli.change_view import change_line, counts_text, size_text
from outcrop.cli.console import Console
from outcrop.cli.quantities import counted
from outcrop.cvmfs.history import tag_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.errors import UsageError
from outcrop.stratum0.publishing.account import collapsed_changes
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest
from outcrop.stratum0.publishing.ownership import AS_THEY_ARE, IdMap, Ownership

Command = TypeVar("Command", bound=Callable[..., Any])

PLANNED_LINES = 10_000
"""More than anybody reads; beyond that directories stand for what changes in them. `--json` has every path."""

_file = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--owner", metavar="UID:GID", help="The owner of everything that comes in, instead of its own."),
    click.option("--uid-map", metavar="FILE", type=_file, help="Lines `FROM TO` that map users; `* TO` maps the rest."),
    click.option("--gid-map", metavar="FILE", type=_file, help="The same for groups."),
    click.option("--within", multiple=True, metavar="PATH", help="Refuse whatever comes in elsewhere than below PATH."),
    click.option("--allow-privileged", is_flag=True, help="Let set-user-ID files and file capabilities in."),
    click.option("--allow-devices", is_flag=True, help="Let device nodes in."),
    click.option("--allow-world-writable", is_flag=True, help="Leave what everybody may write as it is."),
    click.option("--allow-expiring", is_flag=True, help="Publish though the whitelist has expired or soon will."),
    click.option("--message", "-m", default="", help="What this change is about, for `outcrop repo log`."),
    author_option,
    click.option("--reason", default="", metavar="TEXT", help="Why a promise to users may be broken; it is recorded."),
    click.option("--tag", metavar="NAME", help="A name for the new revision."),
)


def publishing_options(command: Command) -> Command:
    """The options that `publishing_request` understands."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def publishing_request(
    *,
    owner: str | None,
    uid_map: Path | None,
    gid_map: Path | None,
    within: tuple[str, ...],
    allow_privileged: bool,
    allow_devices: bool,
    allow_world_writable: bool,
    allow_expiring: bool,
    message: str,
    author: str,
    reason: str,
    tag: str | None,
) -> IngestRequest:
    """A request for nothing yet, published as the options say; UsageError for options that exclude each other."""
    if owner and (uid_map or gid_map):
        raise UsageError(problem="--owner and maps of users exclude each other", hint="`* UID` in a map maps all")
    return IngestRequest(
        ownership=_owner(owner) if owner else Ownership(_map(uid_map), _map(gid_map)),
        door=DoorRules(
            within=tuple(repository_path(path) for path in within),
            allow_privileged=allow_privileged,
            allow_devices=allow_devices,
            allow_world_writable=allow_world_writable,
        ),
        author=author,
        message=message,
        reason=reason,
        tag=tag_name(tag) if tag else None,
        allow_expiring=allow_expiring,
    )


def _owner(text: str) -> Ownership:
    uid, _, gid = text.partition(":")
    if not (uid.isascii() and uid.isdigit() and gid.isascii() and gid.isdigit()):
        raise UsageError(problem=f"--owner {text!r} is not of the form UID:GID", hint="for example `--owner 0:0`")
    return Ownership.all_to(int(uid), int(gid))


def _map(path: Path | None) -> IdMap:
    return AS_THEY_ARE if path is None else IdMap.load(path)


def outcome_document(outcome: IngestOutcome) -> dict[str, object]:
    """What was done, or would be, as JSON."""
    summary = outcome.summary
    return {
        "repository": outcome.manifest.repository,
        "published": outcome.published,
        "revision": outcome.manifest.revision,
        "root_catalog": str(outcome.manifest.root_catalog),
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "unchanged": summary.unchanged,
        "bytes": summary.bytes_in,
        "catalogs": summary.catalogs,
        "changes": [
            {"path": shown(change.path), "effect": change.effect.name.lower(), "content": change.content}
            for change in summary.changes
        ],
        "notes": list(outcome.notes),
    }


def tell_notes(console: Console, outcome: IngestOutcome) -> None:
    """Says what was published otherwise than it came."""
    for note in outcome.notes:
        console.warning(note)


def tell_plan(console: Console, outcome: IngestOutcome) -> None:
    """Shows what a run would do, sorted by path, and sums it up. What comes or goes with its directory is one line."""
    for line in collapsed_changes(outcome.summary.changes, PLANNED_LINES).lines:
        console.result(change_line(line))
    manifest = outcome.manifest
    if outcome.summary.is_empty:
        console.result(f"{manifest.repository} would stay at revision {manifest.revision}: nothing changes")
    else:
        console.result(f"{manifest.repository} would become revision {manifest.revision + 1}: {_counts(outcome)}")


def tell_outcome(console: Console, outcome: IngestOutcome) -> None:
    """Says what was done."""
    manifest = outcome.manifest
    if outcome.published:
        console.result(f"{manifest.repository} is now revision {manifest.revision}: {_counts(outcome)}")
    else:
        console.result(f"{manifest.repository} has all of this already: still revision {manifest.revision}")


def _counts(outcome: IngestOutcome) -> str:
    summary = outcome.summary
    counts = counts_text(summary.added, summary.changed, summary.removed)
    return f"{counts}; {size_text(summary.bytes_in)}, {counted(summary.catalogs, 'catalog')} written"
