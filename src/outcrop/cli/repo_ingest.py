"""`outcrop repo ingest`"""

from __future__ import annotations

import sys
from dataclasses import replace as replace_fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

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
from outcrop.cli.terminal import is_terminal
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue, NotFound, UsageError
from outcrop.stratum0.publishing.incoming import IncomingTree
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import ingest
from outcrop.stratum0.repository import OwnedRepository

STANDARD_INPUT = "-"
"""Stands for a tarball from standard input. A file that is called so has another path too: `./-`."""


@click.command(
    "ingest",
    epilog=examples(
        "outcrop repo ingest software.example.org ./tree --at /versions/2026.06",
        "outcrop repo ingest software.example.org gcc.tar.gz --at /gcc -m 'GCC 14'",
        "outcrop repo ingest software.example.org ./tree --at /data --dry-run   # what would change",
        "outcrop repo ingest software.example.org --delete /software/old",
        "zstd -dc tree.tar.zst | outcrop repo ingest software.example.org - --at /x",
    ),
)
@click.argument("fqrn")
@click.argument("trees", nargs=-1, metavar="[TREE]...", type=click.Path())
@click.option("--at", metavar="PATH", default="/", show_default=True, help="Where in the repository the trees go.")
@click.option("--delete", multiple=True, metavar="PATH", help="Take PATH and all below it away.")
@click.option("--replace", multiple=True, metavar="PATH", help="Below PATH, take away what does not come in again.")
@publishing_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    /,
    *,
    fqrn: str,
    trees: tuple[str, ...],
    at: str,
    delete: tuple[str, ...],
    replace: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **publishing: Any,
) -> None:
    """Publish every TREE (a directory or a tarball) into the repository FQRN, as one revision.

    Trees are laid over what is there: directories are merged, other entries replaced. A directory that holds a file
    called .cvmfscatalog becomes a nested catalog. Nothing is published unless everything is. A TREE called `-` is a
    tarball from standard input; one from a FIFO or a process substitution is read as it comes, too.
    """
    if not trees and not delete:
        raise UsageError(problem="nothing to publish: no tree and no --delete", hint="`outcrop repo ingest --help`")
    if trees.count(STANDARD_INPUT) > 1:
        raise UsageError(problem="standard input can be read only once", hint="say `-` once")
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    request = replace_fields(
        publishing_request(**publishing),
        trees=tuple(_incoming_tree(tree, repository.settings.extended_attributes) for tree in trees),
        at=repository_path(at),
        delete=tuple(repository_path(path) for path in delete),
        replace=tuple(repository_path(path) for path in replace),
    )
    outcome = ingest(repository, request, now=datetime.now(UTC), dry_run=dry_run, progress=console.progress())
    tell_notes(console, outcome)
    if as_json:
        console.json(outcome_document(outcome))
    elif dry_run:
        tell_plan(console, outcome)
    else:
        tell_outcome(console, outcome)


def _incoming_tree(tree: str, with_xattrs: bool) -> IncomingTree:
    path = Path(tree)
    if tree == STANDARD_INPUT:
        return TarballTree(Path("standard input"), stream=_standard_input(), with_xattrs=with_xattrs)
    if path.is_dir():
        return DirectoryTree(path, with_xattrs=with_xattrs)
    if path.is_file() or path.is_fifo():
        return TarballTree(path, with_xattrs=with_xattrs)
    if path.exists():
        raise InvalidValue(
            what=str(path), problem="is neither a directory nor a tarball", hint="name one of these, or a pipe"
        )
    raise NotFound(what=str(path), hint="name a directory or a tarball; `-` is a tarball from standard input")


def _standard_input() -> IO[bytes]:
    if sys.stdin is None or is_terminal(sys.stdin):
        raise UsageError(
            problem="no tarball comes from standard input",
            hint="pipe one in, as in `zstd -dc tree.tar.zst | outcrop repo ingest FQRN -`",
        )
    return sys.stdin.buffer
