"""Takes a tree into a repository: contents into objects, entries into catalogs, everything into one revision.

The tree is laid over what is there: directories are merged, other entries replaced. Where an entry would change between
directory and something else the ingest is refused, unless the place is among those to be replaced. Removals come first.
Nothing that readers see changes before the last step (`outcrop.stratum0.publication`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.history import Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import MAXIMUM_REVISION, Revision
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, join, name, parent, shown
from outcrop.errors import AlreadyExists, InvalidValue, NotFound
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import WritableStore
from outcrop.storage.memory import DiscardingStore
from outcrop.stratum0.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.change import ChangeSummary, has_other_content, is_same
from outcrop.stratum0.contents import ContentResult, StoredContent
from outcrop.stratum0.create import DIRECTORY_BYTES
from outcrop.stratum0.incoming import Attributes, Incoming, IncomingTree
from outcrop.stratum0.publication import NextRevision, publish_revision
from outcrop.stratum0.repository import OwnedRepository

RESERVED = RepositoryPath(b"/.cvmfs")
"""Belongs to the publisher: snapshots by tag are shown there."""
NEW_DIRECTORY_MODE = stat.S_IFDIR | 0o755


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What is to be done: trees laid over `at`, after `delete` and `replace` were emptied.

    `owner` is the (uid, gid) that everything gets, None to keep what the trees say.
    """

    trees: tuple[IncomingTree, ...]
    at: RepositoryPath = ROOT
    delete: tuple[RepositoryPath, ...] = ()
    replace: tuple[RepositoryPath, ...] = ()
    owner: tuple[int, int] | None = None
    message: str = ""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What was done. `manifest` is the new one, or the old one where nothing changed or nothing was to be published."""

    summary: ChangeSummary
    manifest: Manifest
    published: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pending:
    """An entry whose content is on its way into the store."""

    path: RepositoryPath
    incoming: Incoming
    content: ContentResult | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An entry ready for a catalog. Members of one hard link group share `group`, a path that stands for it."""

    path: RepositoryPath
    entry: Entry
    chunks: tuple[Chunk, ...] = ()
    group: RepositoryPath | None = None


def ingest(
    repository: OwnedRepository,
    request: IngestRequest,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> IngestOutcome:
    """Publishes `request` as one revision. With `dry_run` everything is computed and nothing stored."""
    key = repository.signing_key()
    with repository.publishing():
        manifest = repository.manifest(key)
        store: WritableStore = DiscardingStore() if dry_run else repository.store
        prepared = _prepared(request, list(_stored(repository, store, request, progress)))
        tree = repository.catalog_tree(manifest)
        try:
            summary = ChangeSummary()
            moment = int(now.timestamp())
            _remove(tree, request, prepared, summary)
            _make_way(tree, request, prepared, moment, summary)
            _put_all(tree, request.at, prepared, summary)
            _dissolve_unmarked(tree, summary)
            if summary.is_empty:
                return IngestOutcome(summary, manifest, False, _notes(request))
            revision = Revision(manifest.revision + 1)
            if revision > MAXIMUM_REVISION:
                raise InvalidValue(what=f"revision {manifest.revision}", problem="is the last one there can be")
            progress.start("catalogs", None, "catalogs")
            written = tree.write(
                lambda data: _store_catalog(repository, data, store, progress),
                revision=revision,
                now=moment,
                ttl=repository.settings.ttl,
            )
            progress.finish()
            summary.catalogs = written.catalogs
        finally:
            tree.close()
        if dry_run:
            return IngestOutcome(summary, manifest, False, _notes(request))
        tags = _tags(repository, request, written.root.digest, written.root.size, revision, now)
        new = publish_revision(repository, key, manifest, NextRevision(written.root, revision, moment, tags))
        return IngestOutcome(summary, new, True, _notes(request))


def _store_catalog(repository: OwnedRepository, data: bytes, store: WritableStore, progress: Progress) -> Digest:
    progress.advance()
    return repository.store_database(data, ObjectKind.CATALOG, store)


def _notes(request: IngestRequest) -> tuple[str, ...]:
    return tuple(note for tree in request.trees for note in tree.notes())


def _tags(
    repository: OwnedRepository, request: IngestRequest, root: Digest, size: int, revision: Revision, now: datetime
) -> tuple[Tag, ...]:
    names = [request.tag] if request.tag else []
    if repository.settings.auto_tag:
        names.append(f"generic-{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    return tuple(Tag(each, root, revision, int(now.timestamp()), request.message, size) for each in names)


def _stored(
    repository: OwnedRepository, store: WritableStore, request: IngestRequest, progress: Progress
) -> Iterator[_Pending]:
    """Every incoming entry; once this has ended, all contents are in the store."""
    progress.start("contents", None, "files")
    pending: list[_Pending] = []
    with repository.content_writer(store) as writer:
        for tree in request.trees:
            for incoming in tree.entries():
                path = RepositoryPath(request.at + incoming.path)
                if is_below(path, RESERVED):
                    raise InvalidValue(what=shown(path), problem="is kept for the publisher", hint="leave it out")
                content = incoming.store(writer) if incoming.store else None
                pending.append(_Pending(path, incoming, content))
                progress.advance(detail=shown(path))
    progress.finish()
    yield from pending


def _prepared(request: IngestRequest, pending: Sequence[_Pending]) -> dict[RepositoryPath, _Prepared]:
    """The entries by path, parents first. Of entries that several trees have, the last tree's counts."""
    by_path = {one.path: one for one in pending}
    firsts = {one.path: _first_link(one, by_path, request.at) for one in by_path.values() if not one.incoming.symlink}
    groups: dict[tuple[RepositoryPath, RepositoryPath], int] = {}
    for path, first in firsts.items():
        groups[(first, parent(path))] = groups.get((first, parent(path)), 0) + 1
    prepared = {}
    for path in sorted(by_path, key=lambda path: path.split(b"/")):
        first = firsts.get(path, path)
        # A group spans one directory: links between directories become files of their own, as the format wants.
        members = 1 if by_path[path].incoming.attributes.is_directory else groups.get((first, parent(path)), 1)
        source = by_path[first]
        content = source.content.value if source.content else None
        entry = _entry(name(path), source.incoming, content, members, request.owner)
        prepared[path] = _Prepared(path, entry, content.chunks if content else (), first if members > 1 else None)
    return prepared


def _first_link(one: _Pending, by_path: dict[RepositoryPath, _Pending], at: RepositoryPath) -> RepositoryPath:
    """The path whose content `one` shares: its own, unless it is a hard link."""
    seen = {one.path}
    while one.incoming.link_to is not None:
        one = by_path[RepositoryPath(at + one.incoming.link_to)]
        if one.path in seen:
            raise InvalidValue(what=shown(one.path), problem="is a hard link to itself", hint="nothing was published")
        seen.add(one.path)
    return one.path


def _entry(
    entry_name: bytes, incoming: Incoming, content: StoredContent | None, members: int, owner: tuple[int, int] | None
) -> Entry:
    attributes = incoming.attributes
    uid, gid = owner or (attributes.uid, attributes.gid)
    plain = Entry(
        name=entry_name,
        mode=attributes.mode,
        mtime=attributes.mtime,
        mtime_ns=attributes.mtime_ns,
        uid=uid,
        gid=gid,
        xattrs=attributes.xattrs,
        linkcount=members,
    )
    if attributes.is_directory:
        return replace(plain, size=DIRECTORY_BYTES, linkcount=2)
    if incoming.symlink:
        return replace(plain, symlink=incoming.symlink, size=len(incoming.symlink))
    if content is None:
        return replace(plain, size=incoming.device)
    algorithm = content.digest.algorithm if content.digest else content.chunks[0].digest.algorithm
    return replace(
        plain,
        size=content.size,
        digest=content.digest,
        algorithm=algorithm,
        compression=content.compression,
        marks=Mark.CHUNKED if content.chunks else Mark.NONE,
    )


def _remove(
    tree: CatalogTree, request: IngestRequest, prepared: dict[RepositoryPath, _Prepared], summary: ChangeSummary
) -> None:
    for path in request.delete:
        if path == ROOT:
            raise InvalidValue(
                what="the root of a repository", problem="cannot be deleted", hint="name what lies below it"
            )
        if tree.lookup(path) is None:
            what = f"the path {shown(path)}, which is to be deleted,"
            raise NotFound(what=what, hint="`outcrop ls` shows what is there")
        summary.note_removed(path, tree.remove(path))
    for path in request.replace:
        _remove_all_but(tree, path, prepared, summary)


def _remove_all_but(
    tree: CatalogTree, path: RepositoryPath, prepared: dict[RepositoryPath, _Prepared], summary: ChangeSummary
) -> None:
    """Takes away what is at `path` and does not come in again as the same kind of thing."""
    entry = tree.lookup(path)
    if entry is None:
        return
    upcoming = prepared.get(path)
    if path != ROOT and (upcoming is None or upcoming.entry.is_directory != entry.is_directory):
        summary.note_removed(path, tree.remove(path))
    elif entry.is_directory:
        for child in tree.children(path):
            if join(path, child.name) != RESERVED:
                _remove_all_but(tree, join(path, child.name), prepared, summary)


def _make_way(
    tree: CatalogTree,
    request: IngestRequest,
    prepared: dict[RepositoryPath, _Prepared],
    now: int,
    summary: ChangeSummary,
) -> None:
    """Makes the directories that lead to where the trees go."""
    if not request.trees:
        return
    uid, gid = request.owner or (0, 0)
    directory = Attributes(mode=NEW_DIRECTORY_MODE, mtime=now, uid=uid, gid=gid)
    for path in [*ancestors(request.at), request.at]:
        entry = tree.lookup(path)
        if entry is None and path in prepared:
            continue
        if entry is None:
            new = _entry(name(path), Incoming(path, directory), None, 2, None)
            tree.put(path, new)
            summary.note_put(path, None, new)
        elif not entry.is_directory:
            raise AlreadyExists(
                what=f"{shown(path)}, which is no directory,",
                hint=f"`--replace {shown(path)}` puts a directory in its place, or choose another `--at`",
            )


def _put_all(
    tree: CatalogTree, at: RepositoryPath, prepared: dict[RepositoryPath, _Prepared], summary: ChangeSummary
) -> None:
    numbers: dict[tuple[RepositoryPath, RepositoryPath], int] = {}
    for path, one in prepared.items():
        old = tree.lookup(path)
        if old is not None and old.is_directory != one.entry.is_directory:
            kind = "a directory" if old.is_directory else "no directory"
            raise AlreadyExists(
                what=f"{shown(path)}, which is {kind},",
                hint=f"`--replace {shown(path)}` lets the new entry take its place",
            )
        if path == at and old is not None and one.entry.is_directory:
            # The top of a tree is laid over a directory that has its own owner and mode: a temporary directory's 0700
            # must not lock everybody out of the repository.
            summary.unchanged += 1
            continue
        old_chunks = tree.chunks(path, old) if old is not None and old.is_chunked else ()
        entry = one.entry
        if old is not None and is_same(old, old_chunks, entry, one.chunks):
            summary.unchanged += 1
        else:
            if old is not None and old.hardlink_group:
                tree.remove(path)  # which settles what is left of its group
            if one.group is not None:
                place = (one.group, parent(path))
                if place not in numbers:
                    numbers[place] = tree.new_hardlink_group(parent(path))
                entry = replace(entry, hardlink_group=numbers[place])
            tree.put(path, _with_upkeep(entry, old), one.chunks)
            different = old is None or has_other_content(old, old_chunks, entry, one.chunks)
            summary.note_put(path, old, entry, content=different)
        marker = prepared.get(join(path, MARKER)) if entry.is_directory else None
        if marker is not None and marker.entry.is_file and path != ROOT and not tree.is_nested(path):
            tree.make_nested(path)


def _with_upkeep(entry: Entry, old: Entry | None) -> Entry:
    """`entry` with what catalogs keep for a directory that is there already."""
    if old is None or not old.is_directory:
        return entry
    return replace(entry, linkcount=old.linkcount, size=old.size, marks=old.marks)


def _dissolve_unmarked(tree: CatalogTree, summary: ChangeSummary) -> None:
    """Merges nested catalogs whose marker was taken away, and splits off where a lone marker came in."""
    for change in summary.changes:
        directory = parent(change.path)
        if name(change.path) != MARKER or directory == ROOT or tree.lookup(directory) is None:
            continue
        marker = tree.lookup(change.path)
        marked = marker is not None and marker.is_file
        if marked and not tree.is_nested(directory):
            tree.make_nested(directory)
        elif not marked and tree.is_nested(directory):
            tree.dissolve(directory)
