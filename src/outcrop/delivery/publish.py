"""Hands a change set to the publisher: one revision that holds what a build added, changed and removed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from outcrop.compat.layout import STARTPREFIX
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.errors import InvalidValue, storage_error
from outcrop.init.render import InitSettings, RenderedFile, render_init
from outcrop.progress import SILENT, Progress
from outcrop.software.build import BuildOutcome, PreparedBuild, mark_published
from outcrop.software.changeset import ChangeSet
from outcrop.software.layer_below import LayerBelow, layer_in
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.publishing.ownership import Ownership
from outcrop.stratum0.repository import OwnedRepository

STACK_OWNER = Ownership.all_to(0, 0)
"""Whoever built it, what is shared belongs to root: user numbers of the build machine mean nothing elsewhere."""


def stage(files: Iterable[RenderedFile], tree: Path) -> tuple[PurePosixPath, ...]:
    """Writes `files` into the directory `tree`, which holds a repository's root; returns their paths.

    A file that says the same already is not touched, so that it keeps its time."""
    paths = []
    for file in files:
        place = tree / file.path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_file() or place.read_bytes() != file.content:
                place.write_bytes(file.content)
            place.chmod(file.mode)
        except OSError as error:
            raise storage_error(error) from error
        paths.append(file.path)
    return tuple(paths)


def publish_build(
    repository: OwnedRepository,
    prepared: PreparedBuild,
    outcome: BuildOutcome,
    *,
    now: datetime,
    author: str = "",
    progress: Progress = SILENT,
) -> IngestOutcome:
    """Publishes what a build made, with the shell files that start its stack, and remembers that it is published.

    `author` is who the log says has done it."""
    stack = prepared.request.stack
    settings = InitSettings(
        repository=stack.repository,
        version=stack.version,
        prefix=stack.variable_prefix,
        mount_root=str(stack.mount_root),
    )
    init = stage(render_init(settings), outcome.changes.tree)
    published = publish_changes(repository, outcome.changes, now=now, author=author, also=init, progress=progress)
    mark_published(prepared, outcome.changes)
    layer = layer_in(prepared.layout, prepared.tree.root)
    missing = () if layer is None else missing_layer(repository, layer, published.manifest)
    return replace(published, notes=(*published.notes, *missing))


def missing_layer(repository: OwnedRepository, layer: LayerBelow, manifest: Manifest) -> tuple[str, ...]:
    """What to say where software was built on `layer`, which the revision of `manifest` does not have: nobody could
    start it. Nothing where it has the layer."""
    place = _inside(layer.layout.relative / STARTPREFIX)
    published = repository.catalog_tree(manifest)
    try:
        if published.lookup(place) is not None:
            return ()
    finally:
        published.close()
    return (
        f"{repository.name} has no compatibility layer for {layer.layout.family.name}, on which this was built, so "
        f"nothing of it can start: `outcrop compat publish {layer.tree} {repository.name}` publishes it",
    )


def publish_changes(
    repository: OwnedRepository,
    changes: ChangeSet,
    *,
    now: datetime,
    author: str = "",
    also: Iterable[PurePosixPath] = (),
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> IngestOutcome:
    """Publishes `changes`, and the files `also` of the same tree, as one revision.

    Each part of the change set replaces what is at its path. InvalidValue if it is for another repository."""
    if changes.repository != repository.name:
        raise InvalidValue(
            what=f"a change set for {changes.repository}",
            problem=f"cannot be published into {repository.name}",
            hint=f"its installations work below /cvmfs/{changes.repository} only",
        )
    parts = tuple(_inside(path) for path in changes.paths)
    wanted = (*parts, *(_inside(path) for path in also))
    manifest = repository.manifest(repository.signing_key())
    published = repository.catalog_tree(manifest)
    try:
        removed = tuple(path for path in map(_inside, changes.removed) if published.lookup(path) is not None)
    finally:
        published.close()
    request = IngestRequest(
        trees=(DirectoryTree(changes.tree, only=wanted, with_xattrs=False),) if wanted else (),
        delete=removed,
        replace=parts,
        ownership=STACK_OWNER,
        author=author,
        message=changes.message,
    )
    return ingest(repository, request, now=now, dry_run=dry_run, progress=progress)


def _inside(path: PurePosixPath) -> RepositoryPath:
    return repository_path(os.fsencode(path))
