"""An update of a layer, from its lock to a tree that can be published.

What takes long is done once: packages that were fetched are not fetched again, and a tree that was built is not built
again for the same lock, whatever became of the publication.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from outcrop.client.repository import OpenRepository
from outcrop.compat.build import BuildPlace, BuiltLayer, build_layer, clear_up
from outcrop.compat.changelog import Occasion
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import Lock, makes_the_same, version_changes
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.record import earlier_layer, latest_record, recorded_description, recorded_layout, recorded_lock
from outcrop.compat.sealed_root import sealed_root
from outcrop.compat.update import Update
from outcrop.delivery.layer_publication import Allowances, LayerPlace, place_of, require_libc
from outcrop.delivery.published_layers import (
    PublishedLayer,
    description_of_layer,
    layer_at,
    layout_of_layer,
    lock_of_layer,
)
from outcrop.errors import AlreadyExists, FormatError, InvalidValue, NotFound
from outcrop.progress import SILENT, Progress

_KEY_DIGITS = 16


@dataclass(frozen=True, slots=True)
class WantedUpdate:
    """`update` of the layer in the directory `old`, of which `layout` stays what it was; `description` is what it was
    described as, or what somebody says instead."""

    old: Path
    update: Update
    layout: LayerLayout
    description: LayerDescription

    @property
    def lock(self) -> Lock:
        return self.update.lock

    @property
    def key(self) -> str:
        """The same for what makes the same layer, however often it is updated to that."""
        files = sorted((one.sha256, one.ships) for one in self.lock.packages)
        wheels = sorted(one.sha256 for one in self.lock.wheels)
        said = msgspec.json.encode((str(self.layout.prefix), files, wheels, self.description))
        return hashlib.sha256(said).hexdigest()[:_KEY_DIGITS]


@dataclass(frozen=True, slots=True)
class PlannedUpdate:
    """What has to be done for a `wanted` update: it is built at `place`, unless it `is_built`, and takes the place of
    the layer `before` (None where there is none), unless that is this layer already (`is_published`)."""

    wanted: WantedUpdate
    place: BuildPlace
    is_built: bool
    before: PublishedLayer | None
    is_published: bool


def wanted_update(old: Path, update: Update, description: LayerDescription) -> WantedUpdate:
    """The `update` of the layer in the directory `old`, built as `description` says. NotFound, FormatError,
    StorageError."""
    recordable = replace(description, gentoo=description.gentoo.without_passwords())
    return WantedUpdate(old, update, recorded_layout(old), recordable)


def plan_update(wanted: WantedUpdate, place: LayerPlace, allowed: Allowances, destination: Path) -> PlannedUpdate:
    """What has to be done to have the update in the repository for tests `place`, built in `destination`.

    InvalidValue where that is the repository that users read, and where another C library would come below running
    programs; AlreadyExists where something else is in `destination`; what reading the repository raises."""
    layout = wanted.layout
    if place.owned.name == layout.repository:
        raise InvalidValue(
            what=layout.repository,
            problem="is what users read, and an update has to be tested first",
            hint="name a repository for tests; `outcrop compat promote` brings from there what has been tested",
        )
    before = layer_at(place.read, place_of(layout))
    is_published = False
    if before is not None:
        there = lock_of_layer(place.read, before)
        require_libc(version_changes(there, wanted.lock), allowed)
        is_published = makes_the_same(there, wanted.lock) and _is_described_so(place.read, before, wanted)
    build = BuildPlace(layout, destination)
    return PlannedUpdate(wanted, build, _is_built(wanted, build.tree), before, is_published)


def build_update(
    planned: PlannedUpdate, fetch: Callable[[Lock], dict[str, Path]], progress: Progress = SILENT
) -> BuiltLayer | None:
    """Builds the layer from what `fetch` gives; None where it was built before. What `build_layer` raises."""
    if planned.is_built:
        clear_up(planned.place)
        return None
    wanted = planned.wanted
    sealed_root(wanted.layout, planned.place.tree)  # what is missing is told before anything is fetched
    sources = sorted({one.source for one in wanted.update.changes})
    occasion = Occasion(message=f"Update of {', '.join(sources)}", since=earlier_layer(wanted.old))
    files = fetch(wanted.lock)
    return build_layer(planned.place, wanted.lock, wanted.description, files, progress, occasion=occasion)


def _is_described_so(repository: OpenRepository, there: PublishedLayer, wanted: WantedUpdate) -> bool:
    """Whether the layer that is `there` was built of the same declarations; one whose record does not say was not."""
    try:
        described = description_of_layer(repository, there)
    except (FormatError, NotFound):
        return False
    return described == wanted.description and layout_of_layer(repository, there) == wanted.layout


def _is_built(wanted: WantedUpdate, tree: Path) -> bool:
    if not tree.exists():
        return False
    is_ours = (
        latest_record(tree) is not None
        and makes_the_same(recorded_lock(tree), wanted.lock)
        and recorded_description(tree) == wanted.description
        and recorded_layout(tree) == wanted.layout
    )
    if not is_ours:
        raise AlreadyExists(what=str(tree), hint="it is another layer; build the update elsewhere, with `--tree`")
    return True
