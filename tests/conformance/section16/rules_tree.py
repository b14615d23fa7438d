"""Rules that hold between the rows of a catalog, between catalogs, and between rows and objects.

Rules 1, 2, 3, 9, 12 and 14 of section 16, bind mountpoints, and the content of files.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

from . import catalog as c
from .catalog import Catalog, Reference, Row
from .digests import path_hash
from .findings import Severity, Violation, warning
from .inspection import Inspection
from .storage import ObjectError

COUNTERS = (
    "regular",
    "symlink",
    "special",
    "dir",
    "nested",
    "chunked",
    "chunks",
    "file_size",
    "chunked_size",
    "xattr",
    "external",
    "external_file_size",
)
"""The twelve names that occur once after `self_` and once after `subtree_`."""

_MARKER = b".cvmfscatalog"
_LEAST_CHUNKS = 2
_ROOT_PARENT = (0, 0)


def rule_1_counters(repository: Inspection) -> Iterator[Violation]:
    """All 24 counters are there and right, and schema revision 7 comes with the column mtimens.

    `self_` counts the rows of the catalog, its own root included, `subtree_` all rows of the catalogs below it.
    """
    subtrees: dict[int, Counter[str]] = {}
    for catalog in repository.catalogs.values():
        has_mtimens = "mtimens" in {name for name, _, _ in catalog.database.columns("catalog")}
        if (catalog.number_property("schema_revision") or 0) >= c.MTIMENS_SINCE and not has_mtimens:
            yield Violation("16.1", catalog.where, "schema revision 7 without the column mtimens")
        own, below = count(catalog), _count_below(repository, catalog, subtrees)
        expected = {f"self_{name}": own[name] for name in COUNTERS}
        expected |= {f"subtree_{name}": below[name] for name in COUNTERS}
        for name, value in expected.items():
            if name not in catalog.statistics:
                yield Violation("16.1", catalog.where, f"no counter {name}")
            elif catalog.statistics[name] != value:
                yield Violation("16.1", catalog.where, f"{name} is {catalog.statistics[name]!r}, counted are {value}")
        for name in sorted(catalog.statistics.keys() - expected.keys()):
            yield Violation("16.1", catalog.where, f"unknown counter {name}")


def count(catalog: Catalog) -> Counter[str]:
    """The `self_` counters of a catalog, from its rows alone."""
    counters: Counter[str] = Counter()
    for row in catalog.rows:
        if row.is_directory:
            counters["dir"] += 1
        elif row.is_symlink:
            counters["symlink"] += 1
        elif row.is_special:
            counters["special"] += 1
        elif row.is_regular:
            counters["regular"] += 1
            counters["file_size"] += row.size
            if row.is_chunked:
                counters["chunked"] += 1
                counters["chunked_size"] += row.size
            if row.is_external:
                counters["external"] += 1
                counters["external_file_size"] += row.size
        counters["xattr"] += row.xattr is not None
    counters["nested"] = len(catalog.nested)
    counters["chunks"] = sum(map(len, catalog.chunks.values()))
    return counters


def _count_below(repository: Inspection, catalog: Catalog, known: dict[int, Counter[str]]) -> Counter[str]:
    if id(catalog) not in known:
        known[id(catalog)] = total = Counter[str]()
        for reference in catalog.nested:
            if child := repository.child(reference):
                total.update(count(child))
                total.update(_count_below(repository, child, known))
    return known[id(catalog)]


def rule_2_root_rows(repository: Inspection) -> Iterator[Violation]:
    """The root row has the path hash of the empty path, parent (0, 0), and an empty name and link target.

    No name and no link target of any row is NULL, because clients take their lengths.
    """
    for catalog in repository.catalogs.values():
        yield from (violation for violation in catalog.misread if violation.rule == "16.2")
        if catalog.mountpoint:
            continue
        root = catalog.root_row
        if root is None:
            yield Violation("16.2", catalog.where, "no row with the path hash of the root")
            continue
        where = catalog.place(root)
        if root.parent != _ROOT_PARENT:
            yield Violation("16.2", where, f"the root's parent is {root.parent}")
        if root.name or root.symlink:
            yield Violation("16.2", where, f"the root's name {root.name!r} and target {root.symlink!r} are not empty")
        if not root.is_directory:
            yield Violation("16.2", where, "the root is no directory")


def rule_3_link_counts(repository: Inspection) -> Iterator[Violation]:
    """No link count is 0; a directory's is 2 plus its subdirectories; a group's is the number of its members.

    Members of a hard-link group lie in one directory of one catalog and share all metadata and chunks. What is in
    no group has one link. A bind mountpoint keeps the count of the directory it stands for, and a nested mountpoint
    that of the nested catalog's root.
    """
    for catalog in repository.catalogs.values():
        groups: dict[int, list[Row]] = {}
        for row in catalog.rows:
            if row.link_count == 0:
                yield Violation("16.3", catalog.place(row), "the link count is 0")
            elif row.is_directory:
                yield from _directory_links(catalog, row)
            elif row.link_group:
                groups.setdefault(row.link_group, []).append(row)
            elif row.link_count != 1:
                yield Violation("16.3", catalog.place(row), f"{row.link_count} links, but no group")
        for group, members in groups.items():
            yield from _link_group(catalog, group, members)


def _directory_links(catalog: Catalog, row: Row) -> Iterator[Violation]:
    if row.link_group:
        yield Violation("16.3", catalog.place(row), f"a directory in hard-link group {row.link_group}")
    if row.flags & (c.NESTED_MOUNTPOINT | c.BIND_MOUNTPOINT):
        return
    subdirectories = sum(child.is_directory for child in catalog.children.get(row.hash, ()))
    if row.link_count != 2 + subdirectories:
        yield Violation("16.3", catalog.place(row), f"{row.link_count} links with {subdirectories} subdirectories")


def _link_group(catalog: Catalog, group: int, members: list[Row]) -> Iterator[Violation]:
    first = members[0]
    where = catalog.place(first)
    if group < 0:
        yield Violation("16.3", where, f"hard-link group {group}")
    if first.link_count != len(members):
        yield Violation("16.3", where, f"group {group} has {len(members)} members and link count {first.link_count}")
    if len({row.parent for row in members}) > 1:
        yield Violation("16.3", where, f"group {group} spans directories")
    if any(row.metadata != first.metadata for row in members):
        yield Violation("16.3", where, f"members of group {group} differ in their metadata")
    if any(catalog.chunks.get(row.hash) != catalog.chunks.get(first.hash) for row in members):
        yield Violation("16.3", where, f"members of group {group} differ in their chunks")


def rule_9_nested_catalogs(repository: Inspection) -> Iterator[Violation]:
    """A mountpoint and the root of its nested catalog are the same row but for their flags.

    Each mountpoint has a reference and each reference a mountpoint; everything below lies in the nested catalog
    alone, which has the marker `.cvmfscatalog` as a regular file in its root. The marker stands nowhere else, except
    that the repository's own root may have one. (The parents' counters are rule 1's.)
    """
    for catalog in repository.catalogs.values():
        yield from _references(catalog)
        yield from _markers(catalog)
        for row in catalog.rows:
            if row.flags & c.NESTED_ROOT and (not catalog.mountpoint or row.hash != path_hash(catalog.mountpoint)):
                yield Violation("16.9", catalog.place(row), "is flagged as the root of a nested catalog")
        if catalog.mountpoint:
            root = catalog.root_row
            if root is None or not root.flags & c.NESTED_ROOT or not root.is_directory:
                yield Violation("16.9", catalog.where, "no root directory flagged as such")
    for parent, reference, child in repository.parents():
        yield from _same_row(parent, reference, child)


def _references(catalog: Catalog) -> Iterator[Violation]:
    mountpoints = {catalog.path_of(row): row for row in catalog.rows if row.flags & c.NESTED_MOUNTPOINT}
    referenced = {reference.path for reference in catalog.nested}
    for path, row in mountpoints.items():
        if path not in referenced:
            yield Violation("16.9", catalog.place(row), "a mountpoint that nested_catalogs does not list")
        if catalog.children.get(row.hash):
            yield Violation("16.9", catalog.place(row), "entries below a mountpoint are in the parent catalog")
    for path in sorted(referenced - mountpoints.keys()):
        yield Violation("16.9", catalog.where, f"nested_catalogs lists {path!r}, where no mountpoint is")


def _markers(catalog: Catalog) -> Iterator[Violation]:
    root = path_hash(catalog.mountpoint)
    found = False
    for row in catalog.rows:
        if row.name != _MARKER:
            continue
        if row.parent != root:
            yield Violation("16.9", catalog.place(row), "a marker outside the root of a nested catalog")
        elif not row.is_regular:
            yield Violation("16.9", catalog.place(row), "the marker is no regular file")
        else:
            found = True
    if catalog.mountpoint and not found:
        yield Violation("16.9", catalog.where, f"a nested catalog without {_MARKER.decode()}")


def _same_row(parent: Catalog, reference: Reference, child: Catalog) -> Iterator[Violation]:
    root = path_hash(reference.path)
    mountpoint = next((row for row in parent.rows if row.hash == root), None)
    if mountpoint is None or child.root_row is None:
        return
    outside = dataclasses.replace(mountpoint, rowid=0, flags=mountpoint.flags & ~c.NESTED_MOUNTPOINT)
    inside = dataclasses.replace(child.root_row, rowid=0, flags=child.root_row.flags & ~c.NESTED_ROOT)
    for column in dataclasses.fields(Row):
        before, after = getattr(outside, column.name), getattr(inside, column.name)
        if before != after:
            problem = f"{column.name} is {before!r} in the parent and {after!r} in the nested catalog"
            yield Violation("16.9", parent.place(mountpoint), problem)


def rule_12_chunks(repository: Inspection) -> Iterator[Violation]:
    """Chunks of a file follow each other from 0 to its size, each an object of type P; such a file has no hash.

    A file in one piece has a hash and no chunk rows.
    """
    for catalog in repository.catalogs.values():
        rows = {row.hash: row for row in catalog.rows}
        for owner in catalog.chunks:
            if owner not in rows or not (rows[owner].is_regular and rows[owner].is_chunked):
                where = catalog.place(rows[owner]) if owner in rows else catalog.where
                yield Violation("16.12", where, f"chunks of {owner}, which is no chunked file")
        for row in catalog.rows:
            where = catalog.place(row)
            if not row.is_regular:
                continue
            if row.is_chunked:
                yield from _chunk_sequence(catalog, row)
                yield from _chunk_objects(repository, catalog, row)
                if row.digest is not None:
                    yield Violation("16.12", where, "a chunked file with a hash of its own")
            elif row.digest is None:
                yield Violation("16.12", where, "a file with neither hash nor chunks")


def _chunk_sequence(catalog: Catalog, row: Row) -> Iterator[Violation]:
    where, chunks = catalog.place(row), catalog.chunks.get(row.hash, [])
    end = 0
    for chunk in chunks:
        if chunk.offset != end or chunk.size <= 0:
            yield Violation("16.12", where, f"a chunk of {chunk.size} bytes at {chunk.offset} follows one up to {end}")
        end = chunk.offset + chunk.size
    if end != row.size:
        yield Violation("16.12", where, f"chunks end at {end}, the file at {row.size}")
    if len(chunks) < _LEAST_CHUNKS:
        yield warning("16.12", where, f"{len(chunks)} chunk: such a file is stored in one piece")


def _chunk_objects(repository: Inspection, catalog: Catalog, row: Row) -> Iterator[Violation]:
    for chunk in catalog.chunks.get(row.hash, ()):
        where = f"{catalog.place(row)} chunk at {chunk.offset}"
        digest = row.object_digest(chunk.digest)
        if digest is None:
            yield Violation("16.12", where, f"hash of {len(chunk.digest)} bytes with algorithm {row.algorithm}")
        elif not row.is_external and row.compression <= c.UNCOMPRESSED:
            try:
                size = repository.storage.content_size(digest, "P", compressed=row.compression != c.UNCOMPRESSED)
                if size != chunk.size:
                    yield Violation("16.12", where, f"the object has {size} bytes, the row says {chunk.size}")
            except ObjectError as problem:
                yield Violation("16.12", where, str(problem))


def section_3_content(repository: Inspection) -> Iterator[Violation]:
    """The object of every file in one piece is stored under its digest and has the row's size when decompressed.

    Files whose data lie outside the repository have no object.
    """
    for catalog in repository.catalogs.values():
        for row in catalog.rows:
            digest = row.object_digest(row.digest)
            if digest is None or not row.is_regular or row.is_external or row.compression > c.UNCOMPRESSED:
                continue
            try:
                size = repository.storage.content_size(digest, "", compressed=row.compression != c.UNCOMPRESSED)
                if size != row.size:
                    yield Violation("3.size", catalog.place(row), f"{size} bytes in the object, {row.size} in the row")
            except ObjectError as problem:
                yield Violation(problem.rule, catalog.place(row), str(problem))


def rule_14_sizes_of_links_and_devices(repository: Inspection) -> Iterator[Violation]:
    """A symbolic link is as large as its target has bytes; a special file has size 0 or, on devices, their number.

    Size 0 on a link is no more than a warning, because the stock `ingest` writes it (sample rmd.example.org).
    """
    for catalog in repository.catalogs.values():
        for row in catalog.rows:
            if row.is_symlink and row.size != len(row.symlink):
                problem = f"size {row.size} for a target of {len(row.symlink)} bytes"
                severity = Severity.ERROR if row.size else Severity.WARNING
                yield Violation("16.14", catalog.place(row), problem, severity)
            if row.is_special and not row.is_device and row.size:
                yield Violation("16.14", catalog.place(row), f"a special file, but no device, of size {row.size}")


def section_3_bind_mountpoints(repository: Inspection) -> Iterator[Violation]:
    """Bind mountpoints are empty directories, flagged and listed alike, that lead to a stored root catalog."""
    for catalog in repository.catalogs.values():
        flagged = {catalog.path_of(row): row for row in catalog.rows if row.flags & c.BIND_MOUNTPOINT}
        listed = {reference.path for reference in catalog.bound}
        for path, row in flagged.items():
            if path not in listed:
                yield Violation("3.bind", catalog.place(row), "a bind mountpoint that bind_mountpoints does not list")
            if catalog.children.get(row.hash):
                yield Violation("3.bind", catalog.place(row), "entries below a bind mountpoint")
        for path in sorted(listed - flagged.keys()):
            yield Violation("3.bind", catalog.where, f"bind_mountpoints lists {path!r}, which is not flagged so")
        for path in sorted(listed & {reference.path for reference in catalog.nested}):
            yield Violation("3.bind", catalog.where, f"{path!r} is both a nested and a bind mountpoint")
