"""`outcrop ls`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.entry_view import decoded, entry_document, mode_text, moment_text, size_text
from outcrop.cli.name_text import listed
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.tree import Tree
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.paths import repository_path


@click.command(
    "ls",
    epilog=examples(
        "outcrop ls software.example.org",
        "outcrop ls -l software.example.org /versions --tag 2025.06",
        "outcrop ls http://localhost:8000/software.example.org / --key software.example.org.pub",
    ),
)
@reading_options
@click.argument("path", default="/")
@click.option("-l", "--long", is_flag=True, help="Show type, permissions, links, size and time too.")
@click.option("-a", "--all", "hidden", is_flag=True, help="Show entries that the repository hides.")
@json_option
@click.pass_obj
def command(console: Console, *, reading: Reading, path: str, long: bool, hidden: bool, as_json: bool) -> None:
    """List the directory PATH of the repository REPO (its root by default), or the one entry that PATH is.

    REPO is the name of a repository that is configured or owned, or a URL: http://HOST/FQRN, file:///DIR/FQRN.
    """
    place = repository_path(path)
    with reading.open(console) as repository:
        tree = repository.tree
        top = tree.resolve(place, follow_last=not long or path.endswith("/"))
        entries = tree.children(top.path, hidden=hidden) if top.entry.is_directory else [top.entry]
    if as_json:
        console.json([entry_document(decoded(entry.name), entry, tree.symlink_target(entry)) for entry in entries])
    elif long:
        console.table(("MODE", "LINKS", "SIZE", "CHANGED", "NAME"), [_row(entry, tree) for entry in entries])
    else:
        for entry in entries:
            console.result(listed(decoded(entry.name)))


def _row(entry: Entry, tree: Tree) -> tuple[str, ...]:
    name = decoded(entry.name)
    if entry.is_symlink:
        name += f" -> {decoded(tree.symlink_target(entry))}"
    return mode_text(entry), str(entry.linkcount), size_text(entry), moment_text(entry), name
