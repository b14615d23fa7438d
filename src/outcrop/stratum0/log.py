"""The revisions of a repository and their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import RESERVED_NAMES, History, Tag, tag_name
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import AlreadyExists, NotFound
from outcrop.stratum0.publication import publish_tags
from outcrop.stratum0.repository import OwnedRepository


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """One revision: its number, root catalog, time of publishing (seconds since 1970), tags and message."""

    revision: Revision
    root_catalog: Digest
    published_at: int
    tags: tuple[str, ...]
    message: str
    entries: int
    bytes: int


def revisions(repository: OwnedRepository, manifest: Manifest) -> Iterator[RevisionRecord]:
    """The revisions from the newest back, as far as their root catalogs are still there."""
    by_root: dict[Digest, list[Tag]] = {}
    for tag in repository.tags(manifest):
        by_root.setdefault(tag.root_catalog, []).append(tag)
    digest: Digest | None = manifest.root_catalog
    while digest is not None and repository.store.exists(ObjectName(digest, ObjectKind.CATALOG).path):
        with Catalog.parse(repository.load_catalog(digest), f"the root catalog {digest}") as catalog:
            properties, total = catalog.properties, catalog.counters.total
        tags = [tag for tag in by_root.get(digest, ()) if tag.name not in RESERVED_NAMES]
        yield RevisionRecord(
            revision=Revision(properties.revision),
            root_catalog=digest,
            published_at=properties.last_modified,
            tags=tuple(tag.name for tag in tags),
            message=next((tag.description for tag in tags if tag.description), ""),
            entries=total.entries - total.nested,
            bytes=total.file_size,
        )
        digest = properties.previous_revision


@dataclass(frozen=True, slots=True)
class TagChange:
    """What is done to the tags: `put` one, or `remove` one by name."""

    put: Tag | None = None
    remove: str | None = None


def plan_tag(
    repository: OwnedRepository, manifest: Manifest, name: str, *, revision: int | None, message: str, now: int
) -> TagChange:
    """The tag `name` for `revision` (the current one by default); NotFound if there is no such revision."""
    tag_name(name)
    existing = next((tag for tag in repository.tags(manifest) if tag.name == name), None)
    if existing is not None:
        raise AlreadyExists(
            what=f"the tag {name} (revision {existing.revision})",
            hint=f"`outcrop repo tag {repository.name} --delete {name}` takes it away",
        )
    wanted = revision if revision is not None else manifest.revision
    for record in revisions(repository, manifest):
        if record.revision == wanted:
            size = len(repository.load_catalog(record.root_catalog))
            return TagChange(put=Tag(name, record.root_catalog, record.revision, now, message, size))
    hint = f"`outcrop repo log {repository.name}` lists them"
    raise NotFound(what=f"revision {wanted} of {repository.name}", hint=hint)


def plan_removal(repository: OwnedRepository, manifest: Manifest, name: str) -> TagChange:
    """The tag `name` taken away; NotFound if there is none."""
    tag_name(name)
    if all(tag.name != name for tag in repository.tags(manifest)):
        hint = f"`outcrop repo tag {repository.name}` lists them"
        raise NotFound(what=f"the tag {name} of {repository.name}", hint=hint)
    return TagChange(remove=name)


def carry_out(repository: OwnedRepository, plan: Callable[[Manifest], TagChange], now: int) -> TagChange:
    """Makes the plan as the only writer, and publishes the history that it leads to."""
    key = repository.signing_key()
    with repository.publishing():
        manifest = repository.manifest(key)
        change = plan(manifest)

        def edit(history: History) -> None:
            if change.put is not None:
                history.put(change.put)
            if change.remove is not None:
                history.remove(change.remove)

        publish_tags(repository, key, manifest, edit, now)
    return change
