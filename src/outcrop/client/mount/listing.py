"""The rows of one catalog in the order in which directories are made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.paths import PathHash, path_hash

ListingRow = tuple[Any, ...]
"""What is in the columns: the parent's hash and the own one, two numbers each, then `Catalog.columns`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All rows of a catalog, the entries of a directory next to each other and sorted by name.

    `root` is the hash by which the rows know the directory at which the catalog is mounted. `what` names the catalog
    in errors. The rows are unchecked, and can be gone through once.
    """

    root: PathHash
    rows: Iterable[ListingRow]
    what: str


def listing_of(catalog: Catalog, root: bytes) -> Listing:
    """The rows of `catalog`, whose own path of its mountpoint is `root`. The catalog must stay open meanwhile."""
    rows = catalog.connection.execute(
        f"SELECT parent_1, parent_2, md5path_1, md5path_2, {catalog.columns} FROM catalog "
        "ORDER BY parent_1, parent_2, name"
    )
    return Listing(path_hash(root), rows, catalog.what)
