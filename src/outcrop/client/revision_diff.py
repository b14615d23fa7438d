"""What differs between two revisions of a repository, for whoever reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outcrop.client.contents import Contents
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_diff import Difference, LoadCatalog, differences
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.paths import ROOT, RepositoryPath, shown
from outcrop.errors import FormatError, NotFound

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_TAGS_IN_A_HINT = 5


@dataclass(frozen=True, slots=True)
class ReadableRevision:
    """A revision that can be read: its number, its root catalog, and when it was published (seconds since 1970; None
    where nobody says)."""

    revision: int
    root: CatalogReference
    published_at: int | None


def readable_revision(repository: OpenRepository, text: str) -> ReadableRevision:
    """The revision that `text` names: by a number, a tag, `trunk` (the current one), `trunk-previous`, or the digest of
    a root catalog.

    NotFound where no tag names it. A root catalog needs no tag, as long as a server still has it."""
    manifest = repository.manifest
    if text == TRUNK or text == str(manifest.revision):
        return _of_manifest(manifest)
    digest = _digest(text)
    if digest is not None:
        return _of_root(repository.contents, digest)
    tags = repository.tags()
    # A tag may have a number for a name; a number means a revision, here as in `--revision`.
    wanted = [tag for tag in tags if (tag.revision == int(text) if _NUMBER.fullmatch(text) else tag.name == text)]
    if not wanted and text == TRUNK_PREVIOUS:
        wanted = [tag for tag in tags if tag.revision < manifest.revision][:1]
    if not wanted:
        raise NotFound(what=f"the revision {text!r} of {repository.name}", hint=_known(manifest, tags))
    tag = wanted[0]
    return ReadableRevision(tag.revision, CatalogReference(ROOT, tag.root_catalog, tag.size), tag.timestamp)


def readable_differences(
    repository: OpenRepository, old: ReadableRevision, new: ReadableRevision, *, below: RepositoryPath = ROOT
) -> Iterator[Difference]:
    """What differs at or below the path `below`. Only catalogs that differ are fetched, and no files."""
    return differences(old.root, new.root, _loader(repository.contents), below=below)


def _loader(contents: Contents) -> LoadCatalog:
    def load(reference: CatalogReference) -> Catalog:
        return contents.catalog(reference.digest, reference.size, f"the catalog at {shown(reference.path)}")

    return load


def _of_manifest(manifest: Manifest) -> ReadableRevision:
    root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
    return ReadableRevision(manifest.revision, root, manifest.published_at)


def _of_root(contents: Contents, digest: Digest) -> ReadableRevision:
    with contents.catalog(digest, 0, f"the root catalog {digest}") as catalog:
        properties = catalog.properties
    return ReadableRevision(properties.revision, CatalogReference(ROOT, digest, 0), properties.last_modified)


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except FormatError:
        return None


def _known(manifest: Manifest, tags: Sequence[Tag]) -> str:
    names = ", ".join(tag.name for tag in tags[:_TAGS_IN_A_HINT])
    return f"the current revision is {manifest.revision}" + (f"; the newest tags are {names}" if names else "")
