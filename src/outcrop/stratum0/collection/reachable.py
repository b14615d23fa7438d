"""What a reader of a revision can ask for: its catalogs, and every object that they name.

Rows are not decoded, only their digests read: a million entries take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.object_keys import ObjectKey, catalog_object_keys, object_key
from outcrop.cvmfs.objects import ObjectKind, ObjectName

LoadCatalog = Callable[[Digest], Catalog]
"""Opens a catalog; raises an OutcropError where it is missing or damaged."""


def reachable_objects(load: LoadCatalog, root: Digest, seen: set[Digest] | None = None) -> Iterator[ObjectKey]:
    """Every object of the revision whose root catalog is `root`: catalogs, with those nested in them and those bound
    into them from other revisions, and the files and chunks of each. An object may come more than once.

    Catalogs in `seen` are passed over with all below them. Those met are added to it at the end, when all of them have
    been read: a walk that fails half-way promises nothing of what it met.
    """
    known: set[Digest] = set() if seen is None else seen
    met: set[Digest] = set()
    waiting = [root]
    while waiting:
        digest = waiting.pop()
        if digest in known or digest in met:
            continue
        met.add(digest)
        yield object_key(ObjectName(digest, ObjectKind.CATALOG))
        with load(digest) as catalog:
            yield from catalog_object_keys(catalog)
            waiting += [reference.digest for reference in catalog.nested_catalogs()]
            waiting += [reference.digest for reference in catalog.bind_mountpoints()]
    known |= met


def manifest_objects(manifest: Manifest) -> Iterator[ObjectName]:
    """The objects that `manifest` itself names."""
    named = (
        (manifest.root_catalog, ObjectKind.CATALOG),
        (manifest.certificate, ObjectKind.CERTIFICATE),
        (manifest.history, ObjectKind.HISTORY),
        (manifest.metainfo, ObjectKind.METAINFO),
        (manifest.micro_catalog, ObjectKind.MICRO_CATALOG),
    )
    for digest, kind in named:
        if digest is not None:
            yield ObjectName(digest, kind)
