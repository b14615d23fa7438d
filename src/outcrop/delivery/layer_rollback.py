"""The layer that was there before takes its place again; whatever else was published since stays.

That a layer was deleted is a change like any other: a rollback brings it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from outcrop.client.repository import OpenRepository
from outcrop.client.tree import Tree
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.delivery.layer_publication import LayerPlace, LayerPublication, Terms, publish_from
from outcrop.delivery.published_layers import PublishedLayer, layer_at
from outcrop.errors import NotFound
from outcrop.stratum0.history.log import revisions, root_reference


@dataclass(frozen=True, slots=True)
class EarlierLayer:
    """A layer as `revision` had it; `repository` shows that revision."""

    revision: Revision
    layer: PublishedLayer
    repository: OpenRepository


def layers_back(place: LayerPlace, path: RepositoryPath) -> Iterator[EarlierLayer]:
    """The layers that were at `path`, from the newest back, the current one included, each in the newest revision of
    those one after another that have it. Ends where revisions were collected."""
    last = ""
    for record in revisions(place.owned, place.owned.manifest(place.owned.signing_key())):
        try:
            root = root_reference(place.owned, record)
        except NotFound:
            return
        tree = Tree(place.read.contents, root, place.owned.name)
        repository = replace(place.read, tree=tree, root=root)
        try:
            layer = layer_at(repository, path)
            if layer is not None and layer.digest != last:
                yield EarlierLayer(record.revision, layer, repository)
            last = layer.digest if layer is not None else ""
        finally:
            tree.close()


def roll_layer_back(place: LayerPlace, path: RepositoryPath, terms: Terms, digest: str = "") -> LayerPublication:
    """Publishes once more the layer that was at `path` before the last change of it, or the newest one before that has
    this `digest`. Links of the repository, which other layers have in common with it, stay as they are.

    NotFound where there is none; what `publish_layer` raises: a rollback breaks what was built on the newer layer, and
    changes the C library below running programs, as little as an update does."""
    current = layer_at(place.read, path)
    for earlier in layers_back(place, path):
        is_current = current is not None and earlier.layer.digest == current.digest
        if not is_current and earlier.layer.digest.startswith(digest):
            message = f"Back to the compatibility layer of revision {earlier.revision}: {shown(path)}"
            told = replace(terms.told, message=terms.told.message or message)
            return publish_from(earlier.repository, earlier.layer, place, replace(terms, told=told, with_links=False))
    raise NotFound(
        what=f"an earlier layer at {shown(path)} of {place.owned.name}",
        hint=f"`outcrop repo log {place.owned.name}` lists the revisions that are left",
    )
