"""What the commands that publish compatibility layers share: options, the repository that takes them, what they say."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from outcrop.cli.author import author_option
from outcrop.cli.change_view import counts_text
from outcrop.cli.console import Console
from outcrop.cli.options import Command, dry_run_option, json_option
from outcrop.cli.quantities import counted
from outcrop.client.address import find_address
from outcrop.client.configuration import load_known_repositories, stock_access
from outcrop.client.known_repository import RepositoryAddress
from outcrop.client.repository import open_repository
from outcrop.compat.abi.compare import Break
from outcrop.compat.abi.layers import InterfaceReport
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import shown
from outcrop.delivery.layer_publication import (
    Allowances,
    LayerPlace,
    LayerPublication,
    Terms,
    Told,
)
from outcrop.directories import cache_directory, config_directory, data_directory
from outcrop.stratum0.repository import OwnedRepository

_KEPT = "interfaces"
_SHOWN_BREAKS = 20


@dataclass(frozen=True, slots=True)
class LayerPublishing:
    """The answers to the options of `layer_publishing_options`. `software` is empty where no repository is named."""

    software: str
    allow_libc: bool
    allow_breaks: bool
    told: Told
    dry_run: bool
    as_json: bool

    def terms(self, console: Console, *, for_tests: bool = False) -> Terms:
        """How a layer is published now; `console` shows how far it is."""
        allowed = Allowances(self.allow_libc, self.allow_breaks, for_tests)
        return Terms(self.told, allowed, datetime.now(UTC), self.dry_run, console.progress())

    @contextmanager
    def place(self, console: Console, fqrn: str) -> Iterator[LayerPlace]:
        """The repository `fqrn` of this data directory, to write and to read, and the one with the software on top."""
        owned = OwnedRepository.open(data_directory(), repository_name(fqrn))
        with ExitStack() as stack:
            read = stack.enter_context(open_repository(_address(console, fqrn), tell=console.warning))
            other = None
            if self.software:
                other = stack.enter_context(open_repository(_address(console, self.software), tell=console.warning))
            yield LayerPlace(owned, read, cache_directory() / _KEPT, other)

    def tell(self, console: Console, published: LayerPublication) -> None:
        """Says what was done, or would be."""
        if self.as_json:
            console.json(publication_document(published))
        else:
            tell_publication(console, published, dry_run=self.dry_run)


def layer_publishing_options(command: Command) -> Command:
    """What every publication of a layer may be told; the command gets it as `publishing`."""

    @functools.wraps(command)
    def wrapped(
        *args: object,
        software: str | None,
        allow_libc: bool,
        allow_breaks: bool,
        message: str,
        author: str,
        reason: str,
        dry_run: bool,
        as_json: bool,
        **others: object,
    ) -> object:
        told = Told(author, message, reason)
        publishing = LayerPublishing(software or "", allow_libc, allow_breaks, told, dry_run, as_json)
        return command(*args, publishing=publishing, **others)

    decorated: Any = wrapped
    for option in reversed(
        (
            click.option("--software", metavar="REPO", help="The repository with what was built on top, if another."),
            click.option("--allow-libc", is_flag=True, help="Change the C library below programs that run."),
            click.option("--allow-breaks", is_flag=True, help="Publish though programs on top lose what they need."),
            click.option("--message", "-m", default="", help="What this is about, for `outcrop repo log`."),
            author_option,
            click.option("--reason", default="", metavar="TEXT", help="Why a promise to users may be broken."),
            dry_run_option,
            json_option,
        )
    ):
        decorated = option(decorated)
    result: Command = decorated
    return result


def _address(console: Console, repository: str) -> RepositoryAddress:
    stock = stock_access(os.environ, console.warning)
    known = load_known_repositories(config_directory(), data_directory(), stock, os.environ)
    return find_address(repository, known)


def publication_document(published: LayerPublication) -> dict[str, object]:
    """What was done, or would be, as JSON."""
    layer = published.layer
    summary = published.outcome.summary
    return {
        "repository": published.outcome.manifest.repository,
        "published": published.outcome.published,
        "revision": published.outcome.manifest.revision,
        "path": shown(layer.path),
        "digest": layer.digest,
        "before": layer.before.digest if layer.before else None,
        "packages": [
            {"name": one.name, "source": one.source, "before": one.before, "after": one.after} for one in layer.changes
        ],
        **interfaces_document(layer.interfaces),
        "links": [shown(path) for path in layer.links],
        "links_before": {shown(path): os.fsdecode(target) for path, target in layer.links_before.items()},
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
    }


def interfaces_document(report: InterfaceReport) -> dict[str, object]:
    """What becomes of interfaces, as JSON."""
    return {
        "libraries": list(report.libraries),
        "compared": report.users,
        "breaks": [{"user": one.user, "library": one.library, "problem": one.problem} for one in report.breaks],
    }


def tell_breaks(console: Console, breaks: tuple[Break, ...]) -> None:
    """Warns of the first of `breaks`."""
    for one in breaks[:_SHOWN_BREAKS]:
        console.warning(f"{one.user} needs {one.library}, where {one.problem}")
    if len(breaks) > _SHOWN_BREAKS:
        console.warning(f"and {len(breaks) - _SHOWN_BREAKS} more; `--json` lists all")


def tell_interfaces(console: Console, report: InterfaceReport) -> None:
    """Says what of changed libraries was compared, and what that breaks."""
    tell_breaks(console, report.breaks)
    if report.libraries:
        console.note(
            f"{counted(len(report.libraries), 'library', 'libraries')} changed, "
            f"{counted(report.users, 'file')} compared, {counted(len(report.breaks), 'break')}"
        )


def tell_publication(console: Console, published: LayerPublication, *, dry_run: bool) -> None:
    """Says what was done, or would be."""
    for change in published.layer.changes:
        console.note(f"{change.name}: {change.before or 'not there'} -> {change.after or 'gone'}")
    tell_interfaces(console, published.layer.interfaces)
    if published.layer.links:
        console.note(f"{counted(len(published.layer.links), 'link')} beside it, which sites can redirect")
    for path, target in published.layer.links_before.items():
        console.warning(f"{shown(path)} led to {os.fsdecode(target)}; it leads where the layer's record says")
    tell_outcome(console, published, dry_run=dry_run)


def tell_outcome(console: Console, published: LayerPublication, *, dry_run: bool) -> None:
    """Says which revision has the layer, or would have; the digest is the answer."""
    for note in published.outcome.notes:
        console.warning(note)
    manifest, summary = published.outcome.manifest, published.outcome.summary
    where = f"{manifest.repository}:{shown(published.layer.path)}"
    if summary.is_empty:
        console.note(f"{where} is this layer already: still revision {manifest.revision}")
    else:
        verb = "would become" if dry_run else "is now"
        revision = manifest.revision + 1 if dry_run else manifest.revision
        counts = counts_text(summary.added, summary.changed, summary.removed)
        console.note(f"{where} {verb} this layer, in revision {revision}: {counts}")
    console.result(published.layer.digest)
