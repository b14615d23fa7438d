"""What differs between two revisions of a repository, for whoever reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from outcrop.client.repository import OpenRepository
from outcrop.client.tree import Tree, missing_catalog
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_diff import Difference, LoadCatalog, differences
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.paths import ROOT, RepositoryPath, name, shown
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
        return _of_root(repository, digest)
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
    """What differs at or below the path `below`. Only catalogs that differ or lead there are fetched, and no files.

    NotFound, at once, where neither revision has `below`."""
    if below != ROOT and not any(_has(repository, revision, below) for revision in (new, old)):
        raise NotFound(
            what=f"{shown(below)} in the revisions {old.revision} and {new.revision} of {repository.name}",
            hint=f"`outcrop find {repository.name} --name {shlex.quote(shown(name(below)))}` looks for it",
        )
    return differences(old.root, new.root, _loader(repository), below=below)


def _has(repository: OpenRepository, revision: ReadableRevision, path: RepositoryPath) -> bool:
    with closing(Tree(repository.contents, revision.root, repository.name)) as tree:
        return tree.lookup(path) is not None


def _loader(repository: OpenRepository) -> LoadCatalog:
    def load(reference: CatalogReference) -> Catalog:
        try:
            return repository.contents.catalog(
                reference.digest, reference.size, f"the catalog at {shown(reference.path)}"
            )
        except NotFound as error:
            raise missing_catalog(reference, repository.name) from error

    return load


def _of_manifest(manifest: Manifest) -> ReadableRevision:
    root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
    return ReadableRevision(manifest.revision, root, manifest.published_at)


def _of_root(repository: OpenRepository, digest: Digest) -> ReadableRevision:
    root = CatalogReference(ROOT, digest, 0)
    with _loader(repository)(root) as catalog:
        properties = catalog.properties
    return ReadableRevision(properties.revision, root, properties.last_modified)


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except FormatError:
        return None


def _known(manifest: Manifest, tags: Sequence[Tag]) -> str:
    names = ", ".join(tag.name for tag in tags[:_TAGS_IN_A_HINT])
    return f"the current revision is {manifest.revision}" + (f"; the newest tags are {names}" if names else "")
