"""What the tests of garbage collection share: small publishes on given days, and what a store holds against what it
needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.object_keys import key_path
from outcrop.cvmfs.objects import REFLOG_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import repository_path
from outcrop.cvmfs.reflog import Reference, ReferenceType, Reflog
from outcrop.storage.interface import ReadableStore, WritableStore
from outcrop.stratum0.collection.collect import GarbageCollection, collect_garbage
from outcrop.stratum0.collection.reachable import manifest_objects, reachable_objects
from outcrop.stratum0.collection.retention import Window
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.repository import OwnedRepository
from tests.conformance.section16 import Violation, check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import content, published_tree

_KINDS = {
    ReferenceType.ROOT_CATALOG: ObjectKind.CATALOG,
    ReferenceType.CERTIFICATE: ObjectKind.CERTIFICATE,
    ReferenceType.HISTORY: ObjectKind.HISTORY,
    ReferenceType.METAINFO: ObjectKind.METAINFO,
}


def publish(
    publisher: Publisher, contents: Mapping[str, str | bytes], *, at: str = "/", days: float = 0, tag: str | None = None
) -> Manifest:
    """Publishes files with these contents, `days` after what was published before, and takes away the rest at `at`."""
    tree = Path(mkdtemp(dir=publisher.directory.parent, prefix="tree"))
    for name, text in contents.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    publisher.now += timedelta(days=days)
    place = repository_path(at)
    request = IngestRequest(trees=(DirectoryTree(tree),), at=place, replace=(place,), tag=tag)
    return publisher.publish(request).manifest


def collect(
    publisher: Publisher,
    *,
    days: int = 2,
    revisions: int = 1,
    dry_run: bool = False,
    store: WritableStore | None = None,
) -> GarbageCollection:
    """Collects with the window of the last `days` days of the publisher's clock, in its store or another."""
    repository = publisher.repository if store is None else replace(publisher.repository, store=store)
    now = int(publisher.now.timestamp())
    return collect_garbage(repository, Window.of_days(days, now, revisions), now=now, dry_run=dry_run)


def violations(publisher: Publisher) -> list[Violation]:
    moment = publisher.now + timedelta(seconds=1)
    return check_repository(publisher.storage, [publisher.public_key], NAME, now=moment, all_revisions=True)


def loader(repository: OwnedRepository) -> Callable[[Digest], Catalog]:
    return lambda digest: Catalog.parse(repository.load_catalog(digest), f"the catalog {digest}")


def references(store: ReadableStore) -> list[Reference]:
    with Reflog.parse(store.read(REFLOG_NAME)) as reflog:
        return reflog.references()


def needed(repository: OwnedRepository) -> set[str]:
    """The names of all objects that the manifest, its tags and the reflog lead to."""
    manifest = repository.manifest(repository.signing_key())
    recorded = references(repository.store)
    names = {ObjectName(one.digest, _KINDS[one.type]).path for one in recorded}
    names |= {name.path for name in manifest_objects(manifest)}
    roots = {one.digest for one in recorded if one.type is ReferenceType.ROOT_CATALOG}
    roots |= {tag.root_catalog for tag in repository.tags(manifest)}
    for root in roots:
        names |= {key_path(key) for key in reachable_objects(loader(repository), root)}
    return names


def texts(store: ReadableStore) -> dict[bytes, bytes]:
    """Every file of the current revision, with its bytes, each object checked."""
    tree = published_tree(store)
    return {bytes(path): content(store, tree, path, entry) for path, entry in tree.walk() if entry.is_file}
