"""The information attributes: what a mount tells of itself and its files by extended attributes that no listing shows.

Names and forms are the reference client's, so what asks a stock mount can ask ours: `getfattr -n user.fqrn /cvmfs/…`.

| attribute | on | says |
|---|---|---|
| `user.fqrn` `user.revision` `user.root_hash` `user.tag` | everything | what is mounted |
| `user.host` `user.pubkeys` `user.version` `user.pid` | everything | the server, the keys, the client, its process |
| `user.nclg` | everything | how many catalogs are open |
| `user.catalog_counters` `user.repo_counters` | everything | statistics of the catalog here, and of the repository |
| `user.hash` `user.lhash` | files that are not chunked | the digest of the object |
| `user.chunks` `user.chunk_list` `user.compression` `user.direct_io` `user.external_file` | files | how it is stored |
| `user.rawlink` `xfsroot.rawlink` | links | the target as published (the kernel hides `user.…` on links) |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict

from outcrop import __version__
from outcrop.client.mount.inodes import Node
from outcrop.client.mount.tree import MountedTree
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.counters import Counters
from outcrop.cvmfs.entry import Mark

_Answer = Callable[[MountedTree, Node], str]


def information(tree: MountedTree, node: Node, name: bytes) -> bytes | None:
    """The value of the information attribute `name` of `node`; None where there is none.

    May take as long as `tree.catalog` does; raises OutcropError as that does.
    """
    answer = _OF_EVERYTHING.get(name)
    if answer is None and node.entry.is_file:
        answer = _OF_FILES.get(name)
        if answer is None and not node.entry.is_chunked:
            answer = _OF_WHOLE_FILES.get(name)
    if answer is None and node.entry.is_symlink and name in _RAW_LINK:
        return node.entry.symlink
    return None if answer is None else answer(tree, node).encode("utf-8", "surrogateescape")


def _lines(counters: Counters) -> str:
    return "".join(f"{name},{value}\n" for name, value in sorted(asdict(counters.total).items()))


def _catalog_counters(tree: MountedTree, node: Node) -> str:
    catalog = tree.catalog(node.path)
    mountpoint = catalog.mountpoint.decode("utf-8", "surrogateescape")
    return f"catalog_hash: {catalog.digest}\ncatalog_mountpoint: {mountpoint}\n{_lines(catalog.counters)}"


def _chunk_list(tree: MountedTree, node: Node) -> str:
    pieces = tree.pieces(node.path, node.entry)
    rows = "".join(f"{piece.object.digest.text},{piece.offset},{piece.size}\n" for piece in pieces)
    return f"hash,offset,size\n{rows}"


def _mark(mark: Mark) -> _Answer:
    return lambda _tree, node: "1" if mark in node.entry.marks else "0"


def _hash(_tree: MountedTree, node: Node) -> str:
    return node.entry.digest.text if node.entry.digest else ""


_COMPRESSION_NAMES = {Compression.ZLIB: "zlib", Compression.NONE: "none"}
_RAW_LINK = (b"user.rawlink", b"xfsroot.rawlink")
_OF_EVERYTHING: Mapping[bytes, _Answer] = {
    b"user.fqrn": lambda tree, _node: tree.about.fqrn,
    b"user.revision": lambda tree, _node: str(tree.about.revision),
    b"user.root_hash": lambda tree, _node: tree.about.root_hash,
    b"user.tag": lambda tree, _node: tree.about.tag,
    b"user.host": lambda tree, _node: tree.about.host,
    b"user.pubkeys": lambda tree, _node: tree.about.public_keys,
    b"user.version": lambda _tree, _node: f"outcrop {__version__}",
    b"user.pid": lambda _tree, _node: str(os.getpid()),
    b"user.nclg": lambda tree, _node: str(tree.catalogs_loaded()),
    b"user.catalog_counters": _catalog_counters,
    b"user.repo_counters": lambda tree, _node: _lines(tree.catalog(b"").counters),
}
_OF_FILES: Mapping[bytes, _Answer] = {
    b"user.chunks": lambda tree, node: str(len(tree.pieces(node.path, node.entry))),
    b"user.chunk_list": _chunk_list,
    b"user.compression": lambda _tree, node: _COMPRESSION_NAMES[node.entry.compression],
    b"user.direct_io": _mark(Mark.DIRECT_IO),
    b"user.external_file": _mark(Mark.EXTERNAL),
}
_OF_WHOLE_FILES: Mapping[bytes, _Answer] = {b"user.hash": _hash, b"user.lhash": _hash}
INFORMATION_PREFIXES = (b"user.", b"xfsroot.")
"""No information attribute begins otherwise, so most questions that programs ask are answered without a look."""
