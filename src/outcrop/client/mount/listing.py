"""The rows of one catalog, of which directories are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from outcrop.client.mount.owners import AS_PUBLISHED, Owners
from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.entry import ENTRY_COLUMNS, Mark
from outcrop.cvmfs.paths import PathHash, path_hash
from outcrop.cvmfs.table_scan import TableScan, scan_table

KEY_NAMES = ("parent_1", "parent_2", "md5path_1", "md5path_2")
KEY_COLUMNS = len(KEY_NAMES)
ListingRow = tuple[Any, ...]
"""What is in the columns: the parent's hash and the own one, two numbers each, then `Catalog.columns`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All rows of a catalog. `rows` have the entries of a directory next to each other: first those that show, then
    hidden ones, each part sorted by name. Where there is a `scan`, it has all rows in no order, and `rows` are for
    those that it cannot read.

    `root` is the hash by which the rows know the directory at which the catalog is mounted. `what` names the catalog
    in errors. The rows are unchecked, and can be gone through once. `owners` say to whom the entries belong here.
    """

    root: PathHash
    rows: Iterable[ListingRow]
    what: str
    owners: Owners = AS_PUBLISHED
    scan: TableScan | None = None


def listing_of(catalog: Catalog, root: bytes, owners: Owners = AS_PUBLISHED) -> Listing:
    """The rows of `catalog`, whose own path of its mountpoint is `root`. The catalog must stay open meanwhile."""
    available = catalog.columns.split(", ")
    with sqlite_border(catalog.what):
        scan = scan_table(catalog.connection, "catalog", [name for name in ENTRY_COLUMNS if name not in available])
    return Listing(path_hash(root), _sorted_rows(catalog), catalog.what, owners, scan)


def _sorted_rows(catalog: Catalog) -> Iterator[ListingRow]:
    yield from catalog.connection.execute(
        f"SELECT {', '.join(KEY_NAMES)}, {catalog.columns} FROM catalog "
        f"ORDER BY parent_1, parent_2, flags & {Mark.HIDDEN:d}, name"
    )
