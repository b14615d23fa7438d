"""`outcrop cat`"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.contents import Contents, Piece
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.errors import InvalidValue

_WRITE_BYTES = 1024 * 1024
_PIECES_AHEAD = 16
"""How many chunks of a file are fetched at once: one for each connection."""


@click.command(
    "cat",
    epilog=examples(
        "outcrop cat software.example.org /README.md",
        "outcrop cat software.example.org /data/part1 /data/part2 > whole",
    ),
)
@reading_options
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.pass_obj
def command(console: Console, *, reading: Reading, paths: tuple[str, ...]) -> None:
    """Write the files PATH... of the repository REPO to standard output, one after the other.

    Symbolic links are followed as far as they stay in the repository. Nothing is written that was not verified.
    """
    places = [repository_path(path) for path in paths]
    with reading.open(console) as repository:
        for place in places:
            for data in _bytes_of(repository, place):
                console.binary(data)


def _bytes_of(repository: OpenRepository, path: bytes) -> Iterator[bytes]:
    found = repository.tree.resolve(path)
    if not found.entry.is_file:
        raise InvalidValue(
            what=shown(path),
            problem="is not a regular file",
            hint=f"`outcrop {'ls' if found.entry.is_directory else 'stat'} {repository.name} "
            f"{shlex.quote(shown(path))}` shows what it is",
        )
    pieces = repository.tree.pieces(found.path, found.entry)
    for begin in range(0, len(pieces), _PIECES_AHEAD):
        batch = pieces[begin : begin + _PIECES_AHEAD]
        repository.contents.ensure(batch)
        for piece in batch:
            yield from _bytes_of_piece(repository.contents, piece)


def _bytes_of_piece(contents: Contents, piece: Piece) -> Iterator[bytes]:
    descriptor = contents.open(piece)
    try:
        while data := os.read(descriptor, _WRITE_BYTES):
            yield data
    finally:
        os.close(descriptor)
