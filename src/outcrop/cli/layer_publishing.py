"""What the commands that publish compatibility layers share: options, the repository that takes them, what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from outcrop.cli.author import author_option
from outcrop.cli.change_view import counts_text
from outcrop.cli.console import Console
from outcrop.cli.options import Command
from outcrop.cli.quantities import counted
from outcrop.client.address import find_address
from outcrop.client.configuration import load_known_repositories, stock_access
from outcrop.client.known_repository import RepositoryAddress
from outcrop.client.repository import open_repository
from outcrop.compat.abi.compare import Break
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import shown
from outcrop.delivery.layer_publication import LayerPlace, LayerPublication
from outcrop.directories import cache_directory, config_directory, data_directory
from outcrop.stratum0.repository import OwnedRepository

_KEPT = "interfaces"
_SHOWN_BREAKS = 20


def layer_publishing_options(command: Command) -> Command:
    """What every publication of a layer may be told."""
    for option in reversed(
        (
            click.option("--software", metavar="REPO", help="The repository with what was built on top, if another."),
            click.option("--allow-libc", is_flag=True, help="Change the C library below programs that run."),
            click.option("--allow-breaks", is_flag=True, help="Publish though programs on top lose what they need."),
            click.option("--message", "-m", default="", help="What this is about, for `outcrop repo log`."),
            author_option,
            click.option("--reason", default="", metavar="TEXT", help="Why a promise to users may be broken."),
        )
    ):
        command = option(command)
    return command


@contextmanager
def layer_place(console: Console, fqrn: str, software: str | None) -> Iterator[LayerPlace]:
    """The repository `fqrn` of this data directory, to write and to read, and the one with the `software` on top."""
    owned = OwnedRepository.open(data_directory(), repository_name(fqrn))
    with ExitStack() as stack:
        read = stack.enter_context(open_repository(_address(console, fqrn), tell=console.warning))
        other = None
        if software:
            other = stack.enter_context(open_repository(_address(console, software), tell=console.warning))
        yield LayerPlace(owned, read, cache_directory() / _KEPT, other)


def _address(console: Console, repository: str) -> RepositoryAddress:
    stock = stock_access(os.environ, console.warning)
    known = load_known_repositories(config_directory(), data_directory(), stock, os.environ)
    return find_address(repository, known)


def publication_document(published: LayerPublication) -> dict[str, object]:
    """What was done, or would be, as JSON."""
    summary = published.outcome.summary
    return {
        "repository": published.outcome.manifest.repository,
        "published": published.outcome.published,
        "revision": published.outcome.manifest.revision,
        "path": shown(published.path),
        "digest": published.digest,
        "before": published.before.digest if published.before else None,
        "packages": [
            {"name": one.name, "source": one.source, "before": one.before, "after": one.after}
            for one in published.changes
        ],
        "libraries": list(published.interfaces.libraries),
        "compared": published.interfaces.users,
        "breaks": breaks_document(published.interfaces.breaks),
        "links": [shown(path) for path in published.links],
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
    }


def breaks_document(breaks: tuple[Break, ...]) -> list[dict[str, str]]:
    """Breaks as JSON."""
    return [{"user": one.user, "library": one.library, "problem": one.problem} for one in breaks]


def tell_breaks(console: Console, breaks: tuple[Break, ...]) -> None:
    """Warns of the first of `breaks`."""
    for one in breaks[:_SHOWN_BREAKS]:
        console.warning(f"{one.user} needs {one.library}, where {one.problem}")
    if len(breaks) > _SHOWN_BREAKS:
        console.warning(f"and {len(breaks) - _SHOWN_BREAKS} more; `--json` lists all")


def tell_publication(console: Console, published: LayerPublication, *, dry_run: bool) -> None:
    """Says what was done, or would be."""
    for note in published.outcome.notes:
        console.warning(note)
    tell_breaks(console, published.interfaces.breaks)
    for change in published.changes:
        console.note(f"{change.name}: {change.before or 'not there'} -> {change.after or 'gone'}")
    if published.interfaces.libraries:
        console.note(
            f"{counted(len(published.interfaces.libraries), 'library', 'libraries')} changed, "
            f"{counted(published.interfaces.users, 'file')} compared, "
            f"{counted(len(published.interfaces.breaks), 'break')}"
        )
    if published.links:
        console.note(f"{counted(len(published.links), 'link')} beside it, which sites can redirect")
    manifest, summary = published.outcome.manifest, published.outcome.summary
    where = f"{manifest.repository}:{shown(published.path)}"
    if summary.is_empty:
        console.note(f"{where} is this layer already: still revision {manifest.revision}")
    else:
        verb = "would become" if dry_run else "is now"
        revision = manifest.revision + 1 if dry_run else manifest.revision
        counts = counts_text(summary.added, summary.changed, summary.removed)
        console.note(f"{where} {verb} this layer, in revision {revision}: {counts}")
    console.result(published.digest)
