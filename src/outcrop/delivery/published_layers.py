"""Compatibility layers in a repository, as any client reads them: where they are, what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.client.repository import OpenRepository
from outcrop.compat.layout import LAYERS_PATTERN, RECORDS, LayerLayout
from outcrop.compat.lock import Lock, parse_lock
from outcrop.compat.package_sets import LayerDescription, parse_description
from outcrop.compat.record import FILES, LAYER_FILE, LOCK_FILE, RECORD_SUFFIX, SETS_FILE, layout_of, parse_layer
from outcrop.cvmfs.paths import RepositoryPath, join, repository_path, shown
from outcrop.errors import FormatError, NotFound


@dataclass(frozen=True, slots=True)
class PublishedLayer:
    """A layer at `path` of a repository, whose newest record is the directory `record`. `digest` is that of all it
    holds, as its record says."""

    path: RepositoryPath
    record: RepositoryPath
    digest: str


def layers_in(repository: OpenRepository) -> Iterator[PublishedLayer]:
    """All layers with a record, in the order of their paths. What reading the repository raises."""
    for path in _matching(repository, repository_path("/"), LAYERS_PATTERN.split("/")):
        layer = layer_at(repository, path)
        if layer is not None:
            yield layer


def layer_at(repository: OpenRepository, path: RepositoryPath) -> PublishedLayer | None:
    """The layer at `path`; None where there is none with a record."""
    records = _names(repository, join(path, os.fsencode(RECORDS)))
    newest = max((name for name in records if name.endswith(os.fsencode(RECORD_SUFFIX))), default=None)
    if newest is None:
        return None
    record = join(join(path, os.fsencode(RECORDS)), newest)
    place = join(record, os.fsencode(LAYER_FILE))
    if repository.tree.lookup(place) is None:
        return None
    return PublishedLayer(path, record, parse_layer(contents_at(repository, place), shown(place)).digest)


def layer_with(repository: OpenRepository, digest: str) -> PublishedLayer:
    """The layer with this `digest`, or whose digest begins so; NotFound where there is none, or more than one."""
    layers = list(layers_in(repository))
    found = [layer for layer in layers if layer.digest.startswith(digest)]
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{shown(layer.path)} has {layer.digest[:16]}" for layer in layers) or "it has no layer at all"
    number = f"{len(found)} layers" if found else "a layer"
    raise NotFound(what=f"{number} with the digest {digest} in {repository.name}", hint=known)


def lock_of_layer(repository: OpenRepository, layer: PublishedLayer) -> Lock:
    """What the layer is made of; FormatError for a record that cannot be read."""
    place = join(layer.record, os.fsencode(LOCK_FILE))
    return parse_lock(contents_at(repository, place), shown(place))


def layout_of_layer(repository: OpenRepository, layer: PublishedLayer) -> LayerLayout:
    """Which layer it is, as its record says; FormatError for one that cannot be read."""
    place = join(layer.record, os.fsencode(LAYER_FILE))
    return layout_of(parse_layer(contents_at(repository, place), shown(place)), shown(place))


def description_of_layer(repository: OpenRepository, layer: PublishedLayer) -> LayerDescription:
    """The sets and declarations that the layer was made of; NotFound where its record has none, FormatError for those
    that cannot be read."""
    place = join(layer.record, os.fsencode(SETS_FILE))
    return parse_description(contents_at(repository, place), shown(place))


def contents_at(repository: OpenRepository, path: RepositoryPath) -> bytes:
    """The bytes of the file at `path`; NotFound, InvalidValue where it is none."""
    data = bytearray()
    for piece in repository.tree.pieces(path, repository.tree.entry(path)):
        descriptor = repository.contents.open(piece)
        with os.fdopen(descriptor, "rb") as file:
            data += file.read()
    return bytes(data)


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """The files of a layer in a repository, for `outcrop.compat.abi.layers`."""

    repository: OpenRepository
    layer: PublishedLayer

    def digests(self) -> Mapping[str, str]:
        """What the record says of the files; links have none."""
        place = join(self.layer.record, os.fsencode(FILES))
        lines = contents_at(self.repository, place).decode("utf-8", "surrogateescape").splitlines()
        found = {path: digest for digest, separator, path in (line.partition("  ") for line in lines) if separator}
        if len(found) < len(lines):
            raise FormatError(what=shown(place), field="a line", problem="names no file")
        return found

    def read(self, path: str) -> bytes:
        return contents_at(self.repository, join(self.layer.path, os.fsencode(path)))


def _matching(repository: OpenRepository, path: RepositoryPath, pattern: list[str]) -> Iterator[RepositoryPath]:
    if not pattern:
        yield path
        return
    wanted = None if pattern[0] == "*" else os.fsencode(pattern[0])
    for name in _names(repository, path):
        if wanted in (None, name):
            yield from _matching(repository, join(path, name), pattern[1:])


def _names(repository: OpenRepository, path: RepositoryPath) -> list[bytes]:
    """The directories in the directory at `path`; none where there is no such directory."""
    entry = repository.tree.lookup(path)
    if entry is None or not entry.is_directory:
        return []
    return [child.name for child in repository.tree.children(path) if child.is_directory]
