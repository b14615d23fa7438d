"""The differences between revisions of an owned repository."""

from __future__ import annotations

from collections.abc import Iterator

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_diff import Difference, LoadCatalog, differences
from outcrop.cvmfs.paths import ROOT, RepositoryPath, shown
from outcrop.errors import NotFound
from outcrop.stratum0.history.log import RevisionRecord, root_reference
from outcrop.stratum0.repository import OwnedRepository


def revision_differences(
    repository: OwnedRepository, old: RevisionRecord, new: RevisionRecord, *, below: RepositoryPath = ROOT
) -> Iterator[Difference]:
    """What differs at or below the path `below` between two revisions; NotFound where their catalogs were collected."""
    return differences(
        root_reference(repository, old), root_reference(repository, new), catalog_loader(repository), below=below
    )


def catalog_loader(repository: OwnedRepository) -> LoadCatalog:
    """Opens the catalogs of `repository`; NotFound says what a missing one means."""

    def load(reference: CatalogReference) -> Catalog:
        what = f"the catalog of {shown(reference.path)} ({reference.digest})"
        try:
            return Catalog.parse(repository.load_catalog(reference.digest), what)
        except NotFound as error:
            raise NotFound(what=f"{what} in {repository.store.address}", hint=collected_hint(repository)) from error

    return load


def collected_hint(repository: OwnedRepository) -> str:
    """What to do when part of an older revision is gone."""
    return (
        "garbage collection keeps tagged and recent revisions only: choose another "
        f"(`outcrop repo log {repository.name}`), or bring the object back from a replica or a backup"
    )
