"""Rules for the entries of one catalog: every row, its place in the tree, its chunks, its links."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.entry import Chunk, Entry, EntryRow, Mark, decode_chunk, decode_entry
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import NO_PARENT, RepositoryPath, join, parent_hash, path_hash
from outcrop.errors import FormatError
from outcrop.stratum0.check.findings import Findings, said
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.references import References, number_of
from outcrop.stratum0.check.screen import DIRECTORY, FILES, LINK, MARKER, MAXIMUM_NAME_BYTES, plainly_sound

_FILE, _CHUNK = number_of(ObjectKind.FILE), number_of(ObjectKind.CHUNK)
_LEAST_CHUNKS = 2
"""A file that makes one chunk is stored whole."""
_MOUNTPOINTS = (Mark.NESTED_MOUNTPOINT, Mark.NESTED_ROOT, Mark.BIND_MOUNTPOINT)
_CLAIMS_AT_ONCE = 5000

_LOST = (
    "SELECT child.name, parent.flags FROM catalog AS child LEFT JOIN catalog AS parent"
    " ON parent.md5path_1 = child.parent_1 AND parent.md5path_2 = child.parent_2"
    " WHERE NOT (child.md5path_1 = ? AND child.md5path_2 = ?)"
    " AND (parent.flags IS NULL OR NOT parent.flags & 1 OR parent.flags & 16386) ORDER BY child.name LIMIT 20"
)
"""Rows whose parent is missing, no directory, or a mountpoint (2, 0x4000). The first are enough."""


@dataclass(slots=True)
class _Group:
    """A hard link group, as its first member says it."""

    first: Entry
    path: RepositoryPath
    directory: RepositoryPath
    chunks: tuple[Chunk, ...]
    members: int = 1


@dataclass(slots=True)
class EntryWalk:
    """One walk through the entries of the catalog `catalog`, mounted at `path`, from its root down.

    What its files refer to is claimed in `references`. `mountpoints` and `binds` are there once `run` is through, and
    `has_marker`."""

    catalog: Catalog
    path: RepositoryPath
    findings: Findings
    references: References
    mountpoints: dict[RepositoryPath, Entry] = field(default_factory=dict)
    binds: set[RepositoryPath] = field(default_factory=set)
    has_marker: bool = False
    rows: int = 0
    _groups: dict[int, _Group] = field(default_factory=dict)
    _claims: list[tuple[bytes, int, int, int, int, bytes]] = field(default_factory=list)

    def run(self) -> Entry | None:
        """Looks at every row; returns that of the root, None where it cannot be read."""
        root = self._root()
        self._tree(root)
        self._compare_groups()
        self._chunks_of_nothing()
        self.references.claim(self._claims)
        return root

    def _note(self, kind: Kind, detail: str, path: RepositoryPath | None = None) -> None:
        name = self.catalog.what if path is None else ""
        self.findings.add(kind, detail, path=path, catalog=self.path, name=name)

    def _root(self) -> Entry | None:
        row = self.catalog.connection.execute(
            f"SELECT parent_1, parent_2, {self.catalog.columns} FROM catalog WHERE md5path_1 = ? AND md5path_2 = ?",
            path_hash(self.path),
        ).fetchone()
        if row is None:
            self._note(Kind.ENTRY, "has no row for its root", self.path)
            return None
        if tuple(row[:2]) != (parent_hash(self.path) if self.path else NO_PARENT):
            self._note(Kind.ENTRY, "the root of its catalog has another parent than it must", self.path)
        columns = EntryRow(*row[2:])
        entry = self._decoded(columns, self.path)
        if entry is None:
            return None
        if entry.name != self.path.rpartition(b"/")[2]:
            self._note(Kind.ENTRY, f"the root of its catalog is called {entry.name!r}", self.path)
        if not entry.is_directory:
            self._note(Kind.ENTRY, "the root of its catalog is no directory", self.path)
        if entry.is_nested_root != bool(self.path):
            self._note(Kind.NESTING, "is not marked as what it is, the root of a catalog", self.path)
        return entry

    def _tree(self, root: Entry | None) -> None:
        """Walks from the root down."""
        top = path_hash(self.path)
        query = (
            f"SELECT md5path_1, md5path_2, {plainly_sound(self.catalog)}, {self.catalog.columns}"
            " FROM catalog WHERE parent_1 = ? AND parent_2 = ?"
        )
        execute = self.catalog.connection.execute
        visited = 1
        pending: list[tuple[RepositoryPath, int | None]] = [(self.path, None if root is None else root.linkcount)]
        while pending:
            directory, linkcount = pending.pop()
            subdirectories = 0
            for part1, part2, is_plain, *columns in execute(query, path_hash(directory)):
                if (part1, part2) == top:
                    continue
                visited += 1
                row = EntryRow(*columns)
                name = row.name
                if not isinstance(name, bytes):
                    self._note(Kind.ENTRY, "holds an entry whose name is no text", directory)
                    continue
                path = join(directory, name)
                if path_hash(path) != (part1, part2):
                    self._note(Kind.ENTRY, "its key is not the hash of its path", path)
                    subdirectories += row.flags & 1 if isinstance(row.flags, int) else 0
                    continue
                flags = row.flags
                if not is_plain:
                    subdirectories += self._unusual(row, path, directory, pending)
                elif flags == DIRECTORY:
                    subdirectories += 1
                    pending.append((path, row.hardlinks))  # type: ignore[arg-type]
                elif flags != LINK:
                    algorithm, compression = FILES[flags]  # type: ignore[index]
                    self._claims.append((row.hash, algorithm, _FILE, compression, row.size, path))  # type: ignore[arg-type]
            if linkcount is not None and linkcount != 2 + subdirectories:
                self._note(Kind.LINKS, f"has {linkcount} links with {subdirectories} subdirectories", directory)
            if len(self._claims) >= _CLAIMS_AT_ONCE:
                self.references.claim(self._claims)
                self._claims.clear()
        (rows,) = execute("SELECT count(*) FROM catalog").fetchone()
        if rows != visited and root is not None:
            self._lost(rows - visited, top)
        self.rows = int(rows)

    def _lost(self, number: int, top: tuple[int, int]) -> None:
        self._note(Kind.ENTRY, f"has {number} rows to which no path leads from its root")
        for name, parent_flags in self.catalog.connection.execute(_LOST, top):
            if parent_flags is None:
                where = "in no directory of its catalog"
            else:
                where = "below a mountpoint" if parent_flags & 1 else "below what is no directory"
            self._note(Kind.ENTRY, f"has an entry {name!r:.80} {where}")

    def _unusual(
        self,
        row: EntryRow,
        path: RepositoryPath,
        directory: RepositoryPath,
        pending: list[tuple[RepositoryPath, int | None]],
    ) -> int:
        """Looks closely at one row; returns 1 for a directory, as its parent's links count it."""
        entry = self._decoded(row, path)
        if entry is None:
            is_directory = isinstance(row.flags, int) and row.flags & 1
            if is_directory:
                pending.append((path, None))
            return int(is_directory)
        if not 0 < len(entry.name) <= MAXIMUM_NAME_BYTES:
            self._note(Kind.ENTRY, f"has a name of {len(entry.name)} bytes", path)
        if entry.name == MARKER:
            self._marker(entry, path, directory)
        if entry.is_directory:
            self._directory(entry, path, pending)
            return 1
        chunks = self._content(entry, path) if entry.is_file else ()
        if entry.is_symlink and entry.size != len(entry.symlink):
            kind = Kind.ENTRY if entry.size else Kind.ODDITY
            self._note(kind, f"has the size {entry.size}, with a target of {len(entry.symlink)} bytes", path)
        if entry.kind.is_special and not entry.kind.is_device and entry.size:
            self._note(Kind.ENTRY, f"has the size {entry.size}, and is a {entry.kind.name.lower()}", path)
        self._links(entry, path, directory, chunks)
        return 0

    def _decoded(self, row: EntryRow, path: RepositoryPath) -> Entry | None:
        """The entry, if it is written in the one way that writers have for it; a problem otherwise."""
        try:
            entry = decode_entry(row, "")
        except FormatError as error:
            self._note(Kind.ENTRY, said(error), path)
            return None
        if entry.flags != row.flags:
            self._note(Kind.ENTRY, f"has the flags {row.flags:#x}, which say more than the entry does", path)
        if entry.digest is None and row.hash is not None:
            self._note(Kind.ENTRY, "has a hash, though it is no file", path)
        if row.xattr is not None:
            if entry.xattrs.encode() != row.xattr:
                self._note(Kind.ENTRY, "has extended attributes that are not sorted by name", path)
            for key, _ in entry.xattrs:
                if not all(key.partition(b".")):
                    self._note(Kind.ENTRY, f"has the extended attribute {key!r} without a name space", path)
        if sum(mark in entry.marks for mark in _MOUNTPOINTS) > 1:
            self._note(Kind.NESTING, "is marked as more than one kind of mountpoint", path)
        return entry

    def _directory(self, entry: Entry, path: RepositoryPath, pending: list[tuple[RepositoryPath, int | None]]) -> None:
        if entry.hardlink_group:
            self._note(Kind.LINKS, "is a directory in a hard link group", path)
        if entry.is_nested_root:
            self._note(Kind.NESTING, "is marked as the root of a catalog, which it is not", path)
        if entry.is_nested_mountpoint:
            self.mountpoints[path] = entry
        elif entry.is_bind_mountpoint:
            self.binds.add(path)
        else:
            pending.append((path, entry.linkcount))

    def _marker(self, entry: Entry, path: RepositoryPath, directory: RepositoryPath) -> None:
        if directory != self.path:
            self._note(Kind.NESTING, "marks a catalog where none begins", path)
        elif not entry.is_file:
            self._note(Kind.NESTING, "marks a catalog, but is no regular file", path)
        else:
            self.has_marker = True

    def _content(self, entry: Entry, path: RepositoryPath) -> tuple[Chunk, ...]:
        algorithm = number_of(entry.algorithm)
        if entry.digest is not None and not entry.is_external:
            self._claims.append((entry.digest.raw, algorithm, _FILE, entry.compression, entry.size, path))
        if not entry.is_chunked:
            return ()
        if entry.digest is not None:
            self._note(Kind.ODDITY, "is stored in chunks, and whole as well", path)
        chunks = self._chunks(entry, path)
        if not entry.is_external:
            self._claims += [
                (chunk.digest.raw, algorithm, _CHUNK, entry.compression, chunk.size, path) for chunk in chunks
            ]
        return chunks

    def _chunks(self, entry: Entry, path: RepositoryPath) -> tuple[Chunk, ...]:
        rows = self.catalog.connection.execute(
            "SELECT offset, size, hash FROM chunks WHERE md5path_1 = ? AND md5path_2 = ? ORDER BY offset",
            path_hash(path),
        ).fetchall()
        try:
            chunks = tuple(decode_chunk(offset, size, raw, entry.algorithm, "") for offset, size, raw in rows)
        except FormatError as error:
            self._note(Kind.CHUNKS, said(error), path)
            return ()
        end = 0
        for chunk in chunks:
            if chunk.offset != end:
                self._note(Kind.CHUNKS, f"has a chunk at {chunk.offset} after one that ends at {end}", path)
            end = chunk.offset + chunk.size
        if end != entry.size:
            self._note(Kind.CHUNKS, f"has {entry.size} bytes, and its chunks end at {end}", path)
        if len(chunks) < _LEAST_CHUNKS:
            self._note(Kind.ODDITY, f"is stored in {len(chunks)} chunk", path)
        return chunks

    def _chunks_of_nothing(self) -> None:
        (number,) = self.catalog.connection.execute(
            "SELECT count(*) FROM chunks LEFT JOIN catalog USING (md5path_1, md5path_2)"
            " WHERE flags IS NULL OR flags & 93 <> 68"
        ).fetchone()
        if number:
            self._note(Kind.CHUNKS, f"has {number} chunks of what is no chunked file")

    def _links(self, entry: Entry, path: RepositoryPath, directory: RepositoryPath, chunks: tuple[Chunk, ...]) -> None:
        if not entry.hardlink_group:
            if entry.linkcount != 1:
                self._note(Kind.LINKS, f"has {entry.linkcount} links, and belongs to no group", path)
            return
        nameless = replace(entry, name=b"")
        group = self._groups.get(entry.hardlink_group)
        if group is None:
            self._groups[entry.hardlink_group] = _Group(nameless, path, directory, chunks)
            return
        group.members += 1
        if directory != group.directory:
            self._note(Kind.LINKS, "is linked to something in another directory", path)
        if nameless != group.first or chunks != group.chunks:
            self._note(Kind.LINKS, "differs from the others in its hard link group", path)

    def _compare_groups(self) -> None:
        for group in self._groups.values():
            if group.members != group.first.linkcount:
                detail = f"has {group.first.linkcount} links, and its group {group.members} members"
                self._note(Kind.LINKS, detail, group.path)
