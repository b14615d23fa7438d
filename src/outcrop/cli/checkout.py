"""`outcrop checkout`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.checkout import CheckoutOptions, checkout
from outcrop.client.checkout_place import check_free
from outcrop.client.checkout_plan import CheckoutPlan, plan_checkout
from outcrop.client.known_repository import link_variables
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.errors import MissingCapability


@click.command(
    "checkout",
    epilog=examples(
        "outcrop checkout software.example.org ./software",
        "outcrop checkout software.example.org ./init --path /versions/2026.06/init --tag 2026.06",
        "outcrop checkout software.example.org ./software --dry-run    # how much would it be?",
    ),
)
@reading_options
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--path", metavar="PATH", default="/", help="The directory to copy, instead of all.")
@click.option("--expand-links", is_flag=True, help="Fill in variant links, as a client here would.")
@click.option("--owner", is_flag=True, help="Keep users and groups, which only root can.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    destination: Path,
    path: str,
    expand_links: bool,
    owner: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy the repository REPO, or a directory of it, to DEST, which must not exist or be empty.

    All files are there at the end, or none. Modes, times, links and attributes are kept; links whose target depends on
    the reader (`$(NAME)`) are copied as they are published.
    """
    if owner and os.geteuid() != 0:
        raise MissingCapability(what="keeping owners", problem="only root can", hint="leave `--owner` away")
    check_free(destination.resolve())
    address = reading.address(console)
    settings = link_variables(address) if expand_links else None
    options = CheckoutOptions(expand_links=settings, owner=owner, owners=address.ownership.mapped)
    with reading.open_at(address, console) as repository:
        plan = plan_checkout(repository.tree, repository_path(path))
        if not dry_run:
            checkout(
                plan, repository.tree, repository.contents, destination, options, console.progress(), console.warning
            )
        if as_json:
            console.json(_document(repository, plan, destination))
        else:
            _tell(console, repository, plan, destination, dry_run)


def _document(repository: OpenRepository, plan: CheckoutPlan, destination: Path) -> dict[str, object]:
    return {
        "repository": repository.name,
        "root_catalog": repository.root.digest.text,
        "path": shown(plan.path),
        "destination": str(destination),
        "files": plan.files,
        "directories": plan.count(EntryKind.DIRECTORY),
        "links": plan.count(EntryKind.SYMLINK),
        "bytes": plan.size,
    }


def _tell(console: Console, repository: OpenRepository, plan: CheckoutPlan, destination: Path, dry_run: bool) -> None:
    verb = "would be copied" if dry_run else "copied"
    console.result(
        f"{verb} to {destination}: {shown(plan.path)} of {repository.name}, {plan.files:,} files in "
        f"{plan.count(EntryKind.DIRECTORY):,} directories, {plan.count(EntryKind.SYMLINK):,} symbolic links, "
        f"{plan.size:,} bytes"
    )
