"""The demonstration's compatibility layer: the standard one without what clusters need, built once and kept.

It is made from the release itself, whose metadata hold for years: those of its updates hold for days, and a mirror of a
site may be older.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.reading_settings import ClientSettings
from outcrop.client.repository import open_repository
from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.debian.archive import Archive, archive_addresses
from outcrop.compat.debian.package_mirror import PARTIAL, PackageMirror
from outcrop.compat.debian.signature import archive_keyring
from outcrop.compat.family import this_family
from outcrop.compat.layout import STARTPREFIX, LayerLayout
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.compat.plan import plan_layer
from outcrop.compat.record import recorded_digest, recorded_layout
from outcrop.compat.sealed_root import sealed_root
from outcrop.cvmfs.paths import repository_path
from outcrop.delivery.layer_publication import Allowances, LayerPlace, Terms, Told, publish_layer
from outcrop.delivery.published_layers import layer_at
from outcrop.demo.reading import Stage
from outcrop.demo.telling import Story
from outcrop.demo.workshop import Workshop
from outcrop.errors import MissingCapability, NetworkError, NotFound
from outcrop.software.demo_stack import DEMO_REPOSITORY, DEMO_VERSION
from outcrop.software.sources.download import Downloads
from outcrop.stratum0.repository import OwnedRepository

_SETS = ("base", "modules", "python", "build", "build-only", "compilers")


@dataclass(frozen=True, slots=True)
class DemoLayer:
    """The layer in the directory `tree`, and the version of its compiler."""

    tree: Path
    gcc: str


def demo_layer(workshop: Workshop, stage: Stage, mirrors: Sequence[str], story: Story) -> DemoLayer | None:
    """The layer, built unless it is there from an earlier run; None, with the reason told, where this machine cannot
    build one or no mirror that it knows has what it is made of."""
    layout = LayerLayout(DEMO_REPOSITORY, DEMO_VERSION, this_family(), stage.mount_root)
    place = BuildPlace(layout, workshop.tree)
    try:
        root = sealed_root(layout, place.tree)
        if (place.tree / STARTPREFIX).is_file():
            story.say("the layer is there from an earlier run")
        else:
            _build(workshop, place, mirrors, story)
        compiler = f"{layout.prefix}/usr/bin/gcc"
        version = root.require([compiler, "-dumpfullversion"]).stdout.strip()
    except (MissingCapability, NotFound, NetworkError) as error:
        story.say(f"{error.message}: the compiler and the Lmod of this machine are used instead of a layer's")
        return None
    return DemoLayer(place.tree, version)


def _build(workshop: Workshop, place: BuildPlace, mirrors: Sequence[str], story: Story) -> None:
    description = _description()
    mirror = PackageMirror(workshop.packages, Downloads(workshop.packages / PARTIAL))
    archives = archive_addresses(mirrors)
    progress = story.teller.progress()
    archive = Archive(archives, mirror, archive_keyring(None))
    lock = plan_layer(description, place.layout.family, ["compilers"], archive, datetime.now(UTC), progress).lock
    story.say(f"{len(lock.packages)} packages of {lock.release} are chosen, from metadata that Debian has signed")
    files = fetch_packages(lock, mirror, archives, progress)
    built = build_layer(place, lock, description, files, progress)
    story.say(f"{len(built.changes):,} files were moved to {place.layout.prefix}; no script of a package was run")


def _description() -> LayerDescription:
    whole = read_description()
    sets = tuple(one for one in whole.sets if one.name in _SETS)
    return replace(whole, suites=(whole.release,), sets=sets, locales=())


def publish_demo_layer(workshop: Workshop, repository: OwnedRepository, layer: DemoLayer, story: Story) -> None:
    """Publishes the layer, unless readers see it already."""
    address = RepositoryAddress(repository.name, (repository.settings.storage,), (repository.keys.public_key,))
    cache = workshop.run / "publishing"
    settings = ClientSettings(cache=cache, cache_directory=cache, state_directory=cache / "state")
    with closing(open_repository(address, settings)) as read:
        published = layer_at(read, repository_path(f"/{recorded_layout(layer.tree).relative}"))
        if published is not None and published.digest == recorded_digest(layer.tree):
            return
        outcome = publish_layer(
            layer.tree,
            LayerPlace(repository, read, cache / "interfaces"),
            Terms(
                Told(message="The compatibility layer"),
                Allowances(),
                datetime.now(UTC),
                progress=story.teller.progress(),
            ),
        )
    revision = outcome.outcome.manifest.revision
    story.say(f"revision {revision} has the layer, by its digest {outcome.layer.digest[:16]}…")
