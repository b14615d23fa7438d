"""`outcrop stat`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.entry_view import decoded, entry_document, mode_text, moment_text, size_text, text_document
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.contents import Piece
from outcrop.client.mountpoints import Mountpoint
from outcrop.client.tree import Located, Tree
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.paths import parent, repository_path, shown


@click.command(
    "stat",
    epilog=examples(
        "outcrop stat software.example.org /versions",
        "outcrop stat software.example.org /big.bin --json",
    ),
)
@reading_options
@click.argument("path", default="/")
@json_option
@click.pass_obj
def command(console: Console, *, reading: Reading, path: str, as_json: bool) -> None:
    """Show everything that the catalog of the repository REPO says of the entry at PATH.

    A symbolic link that PATH names is shown itself. Chunks are the objects that a large file is made of.
    """
    with reading.open(console) as repository:
        tree = repository.tree
        located = tree.resolve(repository_path(path), follow_last=False)
        pieces = tree.pieces(located.path, located.entry) if located.entry.is_file else ()
        catalog = tree.mountpoint(parent(located.path))
        if as_json:
            console.json(_document(located, pieces, catalog, tree))
        else:
            for line in _lines(located, pieces, catalog, tree):
                console.result(line)


def _document(located: Located, pieces: tuple[Piece, ...], catalog: Mountpoint, tree: Tree) -> dict[str, object]:
    entry = located.entry
    document = entry_document(shown(located.path), entry, tree.symlink_target(entry))
    document["catalog"] = {**text_document("path", shown(catalog.path)), "digest": catalog.reference.digest.text}
    document["marks"] = _marks(entry.marks)
    document["xattrs"] = {decoded(key): value.hex() for key, value in entry.xattrs}
    if entry.hardlink_group:
        document["hardlink_group"] = entry.hardlink_group
    if entry.is_symlink:
        document |= text_document("raw_target", decoded(entry.symlink))
    if entry.is_file:
        document["compression"] = entry.compression.name.lower()
        document["algorithm"] = entry.algorithm.label
        document["chunks"] = [
            {"offset": piece.offset, "size": piece.size, "digest": piece.object.digest.text} for piece in pieces
        ]
    return document


def _lines(located: Located, pieces: tuple[Piece, ...], catalog: Mountpoint, tree: Tree) -> list[str]:
    entry = located.entry
    nanoseconds = "" if entry.mtime_ns is None else f".{entry.mtime_ns:09d}"
    lines = [
        f"path         {shown(located.path)}",
        f"type         {entry.kind.name.lower().replace('_', ' ')}",
        f"mode         {entry.permissions:04o} ({mode_text(entry)})",
        f"size         {size_text(entry)}",
        f"links        {entry.linkcount}" + (f" (group {entry.hardlink_group})" if entry.hardlink_group else ""),
        f"owner        {entry.uid}:{entry.gid}",
        f"changed      {moment_text(entry)}{nanoseconds}",
    ]
    if entry.is_symlink:
        lines.append(f"target       {decoded(entry.symlink)}")
        filled_in = tree.symlink_target(entry)
        if filled_in != entry.symlink:
            lines.append(f"filled in    {decoded(filled_in)}")
    if entry.digest is not None:
        lines.append(f"digest       {entry.digest}")
    if entry.is_file:
        lines.append(f"compression  {entry.compression.name.lower()}")
    if entry.is_chunked:
        lines += [f"chunk        {piece.offset} {piece.size} {piece.object.digest}" for piece in pieces]
    lines += [f"attribute    {decoded(key)} = {value!r}" for key, value in entry.xattrs]
    lines += [f"mark         {mark.replace('_', ' ')}" for mark in _marks(entry.marks)]
    lines.append(f"catalog      {shown(catalog.path)} ({catalog.reference.digest})")
    return lines


def _marks(marks: Mark) -> list[str]:
    return [(mark.name or "").lower() for mark in Mark if mark and mark in marks]
