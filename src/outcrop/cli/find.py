"""`outcrop find`"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator

import click

from outcrop.cli.console import Console
from outcrop.cli.entry_view import entry_document
from outcrop.cli.name_text import listed
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import repository_path, shown

_TYPES = {"f": EntryKind.FILE, "d": EntryKind.DIRECTORY, "l": EntryKind.SYMLINK}


@click.command(
    "find",
    epilog=examples(
        "outcrop find software.example.org",
        "outcrop find software.example.org /versions --type f --name '*.lua'",
        "outcrop find software.example.org --json | jq -r '.[] | select(.size > 1000000) | .path'",
    ),
)
@reading_options_with(name_spelling=False)
@click.argument("path", default="/")
@click.option("--type", "letter", type=click.Choice(sorted(_TYPES)), help="Only directories, files or symbolic links.")
@click.option("--name", "pattern", metavar="GLOB", help="Only entries with such a name; `*` and `?` stand for others.")
@click.option("-a", "--all", "hidden", is_flag=True, help="Find entries that the repository hides, too.")
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    path: str,
    letter: str | None,
    pattern: str | None,
    hidden: bool,
    as_json: bool,
) -> None:
    """List the path PATH of the repository REPO and everything below it, each directory before what it holds.

    Only catalogs are fetched for that, no files.
    """
    place = repository_path(path)
    kind = _TYPES[letter] if letter else None
    with reading.open(console) as repository:
        found = _matching(repository.tree, place, kind, pattern, hidden)
        if as_json:
            _stream_documents(console, repository.tree, found)
        else:
            for located in found:
                console.result(listed(shown(located.path)))


def _matching(tree: Tree, top: bytes, kind: EntryKind | None, pattern: str | None, hidden: bool) -> Iterator[Located]:
    glob = os.fsencode(pattern) if pattern is not None else None
    for located in tree.walk(top, hidden=hidden):
        if kind is not None and located.entry.kind is not kind:
            continue
        if glob is None or fnmatch.fnmatchcase(located.entry.name, glob):
            yield located


def _stream_documents(console: Console, tree: Tree, found: Iterator[Located]) -> None:
    """One JSON array, an entry a line, that is never in memory as a whole."""
    console.result("[")
    previous = ""
    for located in found:
        if previous:
            console.result(previous + ",")
        document = entry_document(shown(located.path), located.entry, tree.symlink_target(located.entry))
        previous = "  " + json.dumps(document)
    if previous:
        console.result(previous)
    console.result("]")
