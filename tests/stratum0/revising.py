"""Publishes revisions for tests of what comes after: straight from contents, with or without an account."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Mapping
from datetime import timedelta

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.catalog_diff import differences
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, name, parent
from outcrop.stratum0.catalogs.catalog_tree import MARKER, CatalogTree
from outcrop.stratum0.history.revision_diff import catalog_loader
from outcrop.stratum0.publishing.account import account_of, summary_of
from outcrop.stratum0.publishing.publication import NextRevision, next_revision, publish_revision, revision_tags
from tests.stratum0.conftest import Publisher

AUTHOR = "ada@build1"


def revise(
    publisher: Publisher,
    files: Mapping[str, str | None],
    *,
    with_account: bool = True,
    message: str = "",
    reason: str = "",
    tag: str | None = None,
    mtime: int | None = None,
) -> Manifest:
    """Publishes a revision with `files` written, and those that are None taken away; a minute after the last one.

    The files get the time `mtime`, by default that of the revision. Without an account it is like one that another
    tool has published.
    """
    publisher.now += timedelta(minutes=1)
    repository, key, now = publisher.repository, publisher.repository.signing_key(), int(publisher.now.timestamp())
    with repository.publishing():
        manifest = repository.manifest(key)
        tree = repository.catalog_tree(manifest)
        for text, content in files.items():
            path = RepositoryPath(text.encode("utf-8", "surrogateescape"))
            if content is None:
                tree.remove(path)
            else:
                _write(publisher, tree, path, content, now if mtime is None else mtime)
        revision = next_revision(manifest)
        written = tree.write(
            lambda data: repository.store_database(data, ObjectKind.CATALOG),
            revision=revision,
            now=now,
            ttl=repository.settings.ttl,
        )
        tree.close()
        old = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
        summary = summary_of(differences(old, written.root, catalog_loader(repository)))
        account = account_of(
            summary, revision=revision, root=written.root, now=now, author=AUTHOR, message=message, reason=reason
        )
        tags = revision_tags(repository, written.root, revision, now=publisher.now, message=message, name=tag)
        upcoming = NextRevision(written.root, revision, now, tags, account if with_account else None)
        return publish_revision(repository, key, manifest, upcoming)


def _write(publisher: Publisher, tree: CatalogTree, path: RepositoryPath, content: str, now: int) -> None:
    for directory in ancestors(path)[1:]:
        if tree.lookup(directory) is None:
            tree.put(directory, Entry(name(directory), stat.S_IFDIR | 0o755, size=4096, mtime=now, linkcount=2))
    data = zlib.compress(content.encode())
    digest = Digest.of(data, publisher.repository.settings.algorithm)
    publisher.repository.store.write(ObjectName(digest, ObjectKind.FILE).path, data)
    entry = Entry(
        name(path),
        stat.S_IFREG | 0o644,
        size=len(content),
        mtime=now,
        digest=digest,
        algorithm=digest.algorithm,
        compression=Compression.ZLIB,
    )
    tree.put(path, entry)
    if name(path) == MARKER:
        tree.make_nested(parent(path))
