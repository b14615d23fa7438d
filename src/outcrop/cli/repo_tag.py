"""`outcrop repo tag`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.moments import moment_document, moment_text
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.history import TRUNK, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.errors import UsageError
from outcrop.stratum0.history.tags import TagChange, carry_out, plan_removal, plan_tag
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.whitelist_care import require_valid_whitelist


@click.command(
    "tag",
    epilog=examples(
        "outcrop repo tag software.example.org",
        "outcrop repo tag software.example.org 2026.06 -m 'first stable release'",
        "outcrop repo tag software.example.org before-gcc --revision 41",
        "outcrop repo tag software.example.org may --revision @2026-05-31   # what was current then",
        "outcrop repo tag software.example.org --delete before-gcc",
    ),
)
@click.argument("fqrn")
@click.argument("name", required=False)
@click.option(
    "--revision",
    metavar="REVISION",
    default=TRUNK,
    show_default=True,
    help="The revision to name: by number, another tag, root catalog, `@DATE`, or `~N` for N back.",
)
@click.option("--message", "-m", default="", help="What the tag is for.")
@click.option("--delete", metavar="NAME", help="Take the tag NAME away.")
@click.option("--allow-expiring", is_flag=True, help="Publish though the whitelist has expired or soon will.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    name: str | None,
    revision: str,
    message: str,
    delete: str | None,
    allow_expiring: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """List the tags of the repository FQRN, call a revision NAME, or take a name away."""
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    if name and delete:
        raise UsageError(problem="a tag is either given or taken away", hint="use NAME or --delete NAME, not both")
    moment = datetime.now(UTC)
    now = int(moment.timestamp())
    if not name and not delete:
        _list(console, repository.tags(repository.manifest(repository.signing_key())), as_json)
        return

    def plan(manifest: Manifest) -> TagChange:
        if delete:
            return plan_removal(repository, manifest, delete)
        assert name is not None
        return plan_tag(repository, manifest, name, revision=revision, message=message, now=now)

    current = repository.manifest(repository.signing_key()) if dry_run else None
    if not dry_run:
        for warning in require_valid_whitelist(repository, moment, allow_expiring=allow_expiring):
            console.warning(warning)
    change = plan(current) if current else carry_out(repository, plan, now)
    _tell(console, change, dry_run, as_json)


def _list(console: Console, tags: list[Tag], as_json: bool) -> None:
    if as_json:
        console.json([_document(tag) for tag in tags])
        return
    rows = [(tag.name, str(tag.revision), moment_text(tag.timestamp), tag.description) for tag in tags]
    console.table(("TAG", "REVISION", "SINCE", "DESCRIPTION"), rows)


def _document(tag: Tag) -> dict[str, object]:
    return {
        "name": tag.name,
        "revision": tag.revision,
        "root_catalog": str(tag.root_catalog),
        "since": moment_document(tag.timestamp),
        "description": tag.description,
    }


def _tell(console: Console, change: TagChange, dry_run: bool, as_json: bool) -> None:
    if as_json:
        console.json({"put": _document(change.put) if change.put else None, "removed": change.remove})
        return
    verb = "would be" if dry_run else "is now"
    if change.put is not None:
        console.result(f"revision {change.put.revision} {verb} called {change.put.name}")
    if change.remove is not None:
        console.result(f"the tag {change.remove} {verb} gone")
