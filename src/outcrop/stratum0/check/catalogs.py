"""Rules for one catalog: its database, its properties, what it refers to, what it counts of its own."""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.catalog import SCHEMA, SCHEMA_REVISION, Catalog, CatalogReference
from outcrop.cvmfs.counters import COUNTER_NAMES, Counts
from outcrop.cvmfs.database import database_from_bytes, digest_value, sqlite_border
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath, is_canonical
from outcrop.errors import FormatError
from outcrop.stratum0.check.databases import empty_catalog, header_problems, table_problems, waste
from outcrop.stratum0.check.entries import EntryWalk
from outcrop.stratum0.check.findings import Findings, said
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.references import References
from outcrop.stratum0.check.screen import MARKER

_WASTED_ROW_NUMBERS = 0.25
"""Share of unused row numbers, which become inode numbers, above which the reference publisher rewrites a catalog."""
_ALL_COUNTERS_SINCE = 5
_NESTED_SIZE_SINCE, _BIND_MOUNTPOINTS_SINCE = 1, 4
"""Revisions of the schema."""

ALL_COUNTERS = frozenset(prefix + name for prefix in ("self_", "subtree_") for name in COUNTER_NAMES)

_COUNT = (
    "SELECT coalesce(sum(flags & 29 = 4), 0), coalesce(sum(flags & 29 = 12), 0), coalesce(sum(flags & 29 = 20), 0),"
    " coalesce(sum(flags & 1), 0), (SELECT count(*) FROM nested_catalogs),"
    " coalesce(sum(flags & 93 = 68), 0), (SELECT count(*) FROM chunks),"
    " coalesce(sum(size) FILTER (WHERE flags & 29 = 4), 0), coalesce(sum(size) FILTER (WHERE flags & 93 = 68), 0),"
    " {xattr}, coalesce(sum(flags & 157 = 132), 0), coalesce(sum(size) FILTER (WHERE flags & 157 = 132), 0)"
    " FROM catalog"
)
"""The counters of a catalog's own rows, in the order of `Counts`. Bits: 29 the types, 64 chunked, 128 external."""


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """What the rules between catalogs need of one. `path` is its mountpoint, `size` in bytes before compression.

    `root` is None where its row cannot be read, `stated` has the counters that can be."""

    path: RepositoryPath
    digest: Digest
    size: int
    revision: int
    last_modified: int
    previous: Digest | None
    ttl: int
    root: Entry | None
    rows: int
    own: Counts
    stated: dict[str, int]
    nested: tuple[CatalogReference, ...]
    bound: tuple[CatalogReference, ...]
    mountpoints: dict[RepositoryPath, Entry]


def check_catalog(
    image: bytes,
    digest: Digest,
    path: RepositoryPath,
    findings: Findings,
    references: References,
    *,
    thoroughly: bool = False,
) -> CatalogFacts | None:
    """Looks at the catalog with the database file `image`, mounted at `path`, and claims what its files refer to.

    None, with a problem noted, if it cannot be read at all. `thoroughly` compares indexes with rows, too.
    """
    name = ObjectName(digest, ObjectKind.CATALOG).path
    look = _Look(path, name, findings, references)
    for problem in header_problems(image):
        look.note(Kind.CATALOG, problem)
    for problem in waste(image):
        look.note(Kind.ODDITY, problem)
    try:
        connection = database_from_bytes(image, name)
    except FormatError as error:
        look.note(Kind.CATALOG, said(error))
        return None
    try:
        with sqlite_border(name):
            if thoroughly:
                look.compare_indexes(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            return look.facts(Catalog(connection, name), digest, len(image))
    except FormatError as error:
        look.note(Kind.CATALOG, said(error))
        return None
    finally:
        connection.close()


@dataclass(slots=True)
class _Look:
    """One look at one catalog."""

    path: RepositoryPath
    name: str
    findings: Findings
    references: References

    def note(self, kind: Kind, detail: str, path: RepositoryPath | None = None) -> None:
        self.findings.add(kind, detail, path=path, catalog=self.path, name=self.name if path is None else "")

    def compare_indexes(self, verdict: bytes) -> None:
        if verdict != b"ok":
            self.note(Kind.CATALOG, f"is damaged ({verdict.decode('utf-8', 'replace')})")

    def facts(self, catalog: Catalog, digest: Digest, size: int) -> CatalogFacts:
        for problem in table_problems(
            catalog.connection, empty_catalog, catalog.properties.schema_revision, catalog.what
        ):
            self.note(Kind.CATALOG, problem)
        self._properties(catalog)
        walk = EntryWalk(catalog, self.path, self.findings, self.references)
        root = walk.run()
        nested, bound = self._references(catalog, "nested_catalogs"), self._references(catalog, "bind_mountpoints")
        self._mountpoints(walk, {one.path for one in nested}, {one.path for one in bound})
        if self.path and not walk.has_marker:
            self.note(Kind.NESTING, f"has no file {MARKER.decode()} in its root")
        xattr = "coalesce(sum(xattr IS NOT NULL), 0)" if "xattr" in catalog.columns.split(", ") else "0"
        own = Counts(*catalog.connection.execute(_COUNT.format(xattr=xattr)).fetchone())
        properties = catalog.properties
        return CatalogFacts(
            path=self.path,
            digest=digest,
            size=size,
            revision=properties.revision,
            last_modified=properties.last_modified,
            previous=properties.previous_revision,
            ttl=properties.ttl,
            root=root,
            rows=walk.rows,
            own=own,
            stated=self._stated(catalog),
            nested=nested,
            bound=bound,
            mountpoints=walk.mountpoints,
        )

    def _properties(self, catalog: Catalog) -> None:
        (present,) = catalog.connection.execute("SELECT group_concat(key, ' ') FROM properties").fetchone()
        keys = (present or b"").split()
        for key in (b"revision", b"last_modified"):
            if key not in keys:
                self.note(Kind.CATALOG, f"has no property {key.decode()}")
        (schema,) = catalog.connection.execute("SELECT value FROM properties WHERE key = 'schema'").fetchone()
        if schema != SCHEMA.encode():
            self.note(Kind.CATALOG, f"has the old schema {schema.decode('utf-8', 'replace')}")
        if catalog.properties.schema_revision > SCHEMA_REVISION:
            self.note(Kind.CATALOG, f"has the unknown schema revision {catalog.properties.schema_revision}")
        if catalog.properties.root_prefix != self.path:
            self.note(Kind.NESTING, f"says that its mountpoint is {catalog.properties.root_prefix!r}")
        lowest, highest, rows = catalog.connection.execute(
            "SELECT min(rowid), max(rowid), count(*) FROM catalog"
        ).fetchone()
        if rows and lowest < 1:
            self.note(Kind.CATALOG, f"has the row number {lowest}, which is no inode number")
        elif rows and 1 - rows / highest > _WASTED_ROW_NUMBERS:
            self.note(Kind.ODDITY, f"numbers its {rows} rows up to {highest}")

    def _references(self, catalog: Catalog, table: str) -> tuple[CatalogReference, ...]:
        revision = catalog.properties.schema_revision
        if table == "bind_mountpoints" and revision < _BIND_MOUNTPOINTS_SINCE:
            return ()
        size_column = "size" if revision >= _NESTED_SIZE_SINCE else "0"
        references = []
        rows = catalog.connection.execute(f"SELECT path, sha1, {size_column} FROM {table} ORDER BY path").fetchall()
        for path, digest, size in rows:
            if not isinstance(path, bytes) or not path or not is_canonical(path) or not self._is_inside(path):
                self.note(Kind.NESTING, f"refers to a catalog at {path!r:.200}, which is not below it")
                continue
            with self.findings.malformed(Kind.NESTING, path=RepositoryPath(path), catalog=self.path):
                named = digest_value(digest, "", f"its digest in {table}")
                references.append(CatalogReference(RepositoryPath(path), named, size if isinstance(size, int) else 0))
        return tuple(references)

    def _is_inside(self, path: bytes) -> bool:
        return path.startswith(self.path + b"/")

    def _mountpoints(self, walk: EntryWalk, nested: set[RepositoryPath], bound: set[RepositoryPath]) -> None:
        for path in sorted(walk.mountpoints.keys() - nested):
            self.note(Kind.NESTING, "is marked as a nested catalog's mountpoint, and no catalog is listed", path)
        for path in sorted(nested - walk.mountpoints.keys()):
            self.note(Kind.NESTING, "is listed as a nested catalog's mountpoint, and not marked as one", path)
        for path in sorted(walk.binds - bound):
            self.note(Kind.NESTING, "is marked as a bind mountpoint, and no catalog is listed", path)
        for path in sorted(bound - walk.binds):
            self.note(Kind.NESTING, "is listed as a bind mountpoint, and not marked as one", path)
        for path in sorted(bound & nested):
            self.note(Kind.NESTING, "is both a nested catalog's and a bind mountpoint", path)

    def _stated(self, catalog: Catalog) -> dict[str, int]:
        stated = {}
        for raw, value in catalog.connection.execute("SELECT counter, value FROM statistics"):
            name = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else repr(raw)
            if name not in ALL_COUNTERS:
                self.note(Kind.ODDITY, f"has a counter {name:.80}, which means nothing")
            elif not isinstance(value, int):
                self.note(Kind.COUNTERS, f"its counter {name} is no number")
            else:
                stated[name] = value
        if catalog.properties.schema_revision >= _ALL_COUNTERS_SINCE:
            for name in sorted(ALL_COUNTERS - stated.keys()):
                self.note(Kind.COUNTERS, f"has no counter {name}")
        return stated
