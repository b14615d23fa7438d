"""The layer that was there before takes its place again; whatever else was published since stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from outcrop.client.repository import OpenRepository
from outcrop.client.tree import Tree
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.delivery.layer_publication import Allowances, LayerPlace, LayerPublication, Told, publish_from
from outcrop.delivery.published_layers import PublishedLayer, layer_at
from outcrop.errors import NotFound
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.history.log import revisions, root_reference


@dataclass(frozen=True, slots=True)
class EarlierLayer:
    """A layer as `revision` had it; `repository` shows that revision."""

    revision: Revision
    layer: PublishedLayer
    repository: OpenRepository


def earlier_layers(place: LayerPlace, path: RepositoryPath) -> Iterator[EarlierLayer]:
    """The layers that were at `path`, from the newest back, each in the newest revision that has it, the current one
    first. Ends where revisions were collected."""
    last = None
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
                last = layer.digest
                yield EarlierLayer(record.revision, layer, repository)
        finally:
            tree.close()


def roll_layer_back(
    place: LayerPlace,
    path: RepositoryPath,
    told: Told,
    allowed: Allowances,
    *,
    now: datetime,
    digest: str = "",
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> LayerPublication:
    """Publishes the layer that was at `path` before the current one, or the newest with this `digest`, once more.
    Links of the repository, which other layers have in common with it, stay as they are.

    NotFound where there is none; what `publish_layer` raises: a rollback breaks what was built on the newer layer, and
    changes the C library below running programs, as little as an update does."""
    earlier = earlier_layers(place, path)
    current = next(earlier, None)
    for one in earlier:
        if current is not None and one.layer.digest != current.layer.digest and one.layer.digest.startswith(digest):
            message = told.message or f"Back to the compatibility layer of revision {one.revision}: {shown(path)}"
            return publish_from(
                one.repository,
                one.layer,
                place,
                replace(told, message=message),
                allowed,
                now=now,
                dry_run=dry_run,
                with_links=False,
                progress=progress,
            )
    raise NotFound(
        what=f"an earlier layer at {shown(path)} of {place.owned.name}",
        hint=f"`outcrop repo log {place.owned.name}` lists the revisions that are left",
    )
