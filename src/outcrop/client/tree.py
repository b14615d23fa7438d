"""One revision as a tree of directories: what stands at a path, what a directory holds, where a file's bytes are.

Paths are those of `outcrop.cvmfs.paths`: `b""` is the root. Catalogs are fetched when something below them is asked
for. What a nested catalog says of its own root must be what its parent says of the mountpoint, and it must have been
made for that place; otherwise it is refused, since a signature covers the whole tree only through these references.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, Protocol

from outcrop.client.catalog_shelf import MAXIMUM_OPEN_CATALOGS, CatalogShelf
from outcrop.client.content import ExternalPlace
from outcrop.client.contents import Piece
from outcrop.client.mountpoints import MAXIMUM_NESTING, CatalogMap, Mountpoint, root_mountpoint
from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, parent, shown
from outcrop.cvmfs.variant import expand
from outcrop.errors import FormatError, InvalidValue, NotFound

MAXIMUM_SYMLINKS = 40
"""How many links one path may lead through, as in Linux (MAXSYMLINKS)."""


class Located(NamedTuple):
    """An entry and where it stands."""

    path: RepositoryPath
    entry: Entry


class CatalogSource(Protocol):
    """Where a tree has its catalogs from."""

    def catalog(self, digest: Digest, size: int, what: str) -> Catalog: ...

    def ensure_catalogs(self, references: Iterable[CatalogReference]) -> None: ...


class Tree:
    """The tree below the root catalog `root` of `repository`. May be used from any thread. Variant links are filled in
    from `variables`, by default this process's environment.

    Errors of all methods besides their own: NetworkError, IntegrityError and StorageError when a catalog cannot be
    had, FormatError when it is malformed or not the one that belongs at its place.
    """

    def __init__(
        self,
        source: CatalogSource,
        root: CatalogReference,
        repository: RepositoryName,
        *,
        variables: Mapping[bytes, bytes] | None = None,
        maximum_open_catalogs: int = MAXIMUM_OPEN_CATALOGS,
    ) -> None:
        self.repository = repository
        self.variables = os.environb if variables is None else variables
        self.root = root_mountpoint(root)
        self._source = source
        self._shelf = CatalogShelf(self._checked_catalog, maximum_open_catalogs)
        self._maps: dict[bytes, CatalogMap] = {}

    def entry(self, path: bytes) -> Entry:
        """What stands at `path`; NotFound if nothing does.

        Of a mountpoint this is the row in the catalog that holds it, which is not fetched for that."""
        entry = self.lookup(path)
        if entry is None:
            raise NotFound(what=f"{shown(path)} in {self.repository}", hint=self._listing(ROOT))
        return entry

    def lookup(self, path: bytes) -> Entry | None:
        """What stands at `path`, hidden or not; None if nothing does."""
        mountpoint = self.mountpoint(parent(path))
        with self._shelf.use(mountpoint) as catalog:
            return catalog.lookup(mountpoint.inner(path))

    def children(self, path: bytes, *, hidden: bool = False) -> list[Entry]:
        """What the directory `path` holds, sorted by name, with `hidden` entries if they are asked for.

        NotFound if there is nothing at `path`, InvalidValue if it is no directory."""
        mountpoint = self.mountpoint(path)
        with self._shelf.use(mountpoint) as catalog:
            entries = catalog.children(mountpoint.inner(path))
        if not entries and not self.entry(path).is_directory:
            raise InvalidValue(what=shown(path), problem="is not a directory", hint=self._description(path))
        _check_names(entries, path)
        return entries if hidden else [entry for entry in entries if not entry.is_hidden]

    def walk(self, path: bytes = ROOT, *, hidden: bool = False) -> Iterator[Located]:
        """`path` and everything below it: each directory before what it holds, siblings sorted by name.

        Bind mountpoints are listed and not entered, since what they show belongs to other revisions; only a walk that
        begins in one goes on in it. Nested catalogs are fetched ahead, many at once."""
        top = Located(RepositoryPath(path), self.entry(path))
        announced: set[bytes] = set()
        waiting = [top]
        while waiting:
            located = waiting.pop()
            yield located
            if located.entry.is_directory and (located is top or not located.entry.is_bind_mountpoint):
                self._fetch_ahead(located.path, path, announced)
                found = self.children(located.path, hidden=hidden)
                waiting += [Located(join(located.path, entry.name), entry) for entry in reversed(found)]

    def pieces(self, path: bytes, entry: Entry) -> tuple[Piece, ...]:
        """Where the bytes of the file `entry` at `path` are: runs that follow each other from 0 to its size."""
        if not entry.is_file:
            raise InvalidValue(what=shown(path), problem="is not a regular file", hint=self._description(path))
        mountpoint = self.mountpoint(parent(path))
        inner = mountpoint.inner(path)

        def place(offset: int) -> ExternalPlace | None:
            return ExternalPlace(inner, offset) if entry.is_external else None

        if not entry.is_chunked:
            assert entry.digest is not None, "decoding refuses a file without digest and chunks"
            whole = ObjectName(entry.digest, ObjectKind.FILE)
            return (Piece(0, entry.size, whole, entry.compression, place(0)),)
        with self._shelf.use(mountpoint) as catalog:
            chunks = catalog.chunks(inner, entry)
        return tuple(
            Piece(
                chunk.offset,
                chunk.size,
                ObjectName(chunk.digest, ObjectKind.CHUNK),
                entry.compression,
                place(chunk.offset),
            )
            for chunk in chunks
        )

    def symlink_target(self, entry: Entry, settings: Mapping[bytes, bytes] | None = None) -> bytes:
        """Where the link `entry` leads, variants filled in from `settings` (the tree's own variables if None), as
        the reference client shows it. `entry.symlink` is the raw target."""
        return expand(entry.symlink, self.variables if settings is None else settings)

    def resolve(
        self, path: bytes, settings: Mapping[bytes, bytes] | None = None, *, follow_last: bool = True
    ) -> Located:
        """What `path` leads to when links are followed, as far as they stay within the repository. Without
        `follow_last`, a link that `path` itself names is not followed.

        Targets below `/cvmfs/<repository>` count as within. NotFound where the path leads to nothing or out of the
        repository, InvalidValue when it leads in a circle."""
        resolved = Located(ROOT, self.entry(ROOT))
        remaining = _components(path)
        links = 0
        while remaining:
            component = remaining.pop(0)
            if component == b"..":
                resolved = self._at(parent(resolved.path), path)
                continue
            found = self._at(join(resolved.path, component), path)
            if not found.entry.is_symlink or (not remaining and not links and not follow_last):
                resolved = found
                continue
            links += 1
            if links > MAXIMUM_SYMLINKS:
                raise InvalidValue(
                    what=shown(path),
                    problem="leads in a circle of symbolic links",
                    hint=self._description(found.path),
                )
            target = self.symlink_target(found.entry, settings)
            if target.startswith(b"/"):
                target = self._within(target, found.path)
                resolved = self._at(ROOT, path)
            remaining = _components(target) + remaining
        return resolved

    def mountpoint(self, path: bytes) -> Mountpoint:
        """The catalog that says what the directory `path` holds."""
        mountpoint = self.root
        while True:
            below = self._map(mountpoint).covering(path)
            if below is None:
                return mountpoint
            mountpoint = below

    def catalog_at(self, mountpoint: bytes) -> Catalog:
        """The catalog mounted at exactly `mountpoint`, through a connection of its own that the caller closes."""
        return self._opened(self._mounted_at(mountpoint))

    @contextmanager
    def using_catalog(self, mountpoint: bytes) -> Iterator[Catalog]:
        """The catalog mounted at exactly `mountpoint`, which stays open within the block; others may use it, too."""
        with self._shelf.use(self._mounted_at(mountpoint)) as catalog:
            yield catalog

    def nested_mountpoints(self) -> tuple[RepositoryPath, ...]:
        """The mountpoints of all catalogs of this tree but the root's, sorted. Fetches all of them."""
        found: list[RepositoryPath] = []
        waiting = [self.root]
        while waiting:
            below = [place for place in self._map(waiting.pop()).below.values() if not place.bound]
            self._source.ensure_catalogs(place.reference for place in below)
            found += [place.path for place in below]
            waiting += below
        return tuple(sorted(found))

    def close(self) -> None:
        """Closes the catalogs that nobody uses, and forgets what is read again when it is wanted."""
        self._shelf.close()
        self._maps.clear()

    def _mounted_at(self, mountpoint: bytes) -> Mountpoint:
        place = self.mountpoint(mountpoint)
        if place.path != mountpoint:
            raise NotFound(
                what=f"a catalog at {shown(mountpoint)} in {self.repository}",
                hint=f"the one that holds it is at {shown(place.path)}; {self._description(mountpoint)}",
            )
        return place

    def _at(self, path: bytes, origin: bytes) -> Located:
        entry = self.lookup(path)
        if entry is None:
            # Links are followed from the root down, so the directory above is there.
            hint = self._listing(parent(path))
            if path != origin:
                hint = f"it leads to {shown(path)}, where nothing is; {hint}"
            raise NotFound(what=f"{shown(origin)} in {self.repository}", hint=hint)
        return Located(RepositoryPath(path), entry)

    def _within(self, target: bytes, link: bytes) -> bytes:
        base = b"/cvmfs/" + self.repository.encode()
        if not is_below(target, base):
            raise NotFound(
                what=f"{shown(target)} in {self.repository}",
                hint=f"the symbolic link {shown(link)} leads out of the repository; {self._description(link)}",
            )
        return target[len(base) :]

    def _listing(self, directory: bytes) -> str:
        """The hint for something that is not in `directory`."""
        where = f" {shlex.quote(shown(directory))}" if directory else ""
        return f"`outcrop ls {self.repository}{where}` lists what is there"

    def _description(self, path: bytes) -> str:
        """The hint for something that is not what it was taken for."""
        return f"`outcrop stat {self.repository} {shlex.quote(shown(path))}` shows what it is"

    def _fetch_ahead(self, directory: bytes, top: bytes, announced: set[bytes]) -> None:
        mountpoint = self.mountpoint(directory)
        if mountpoint.path not in announced:
            announced.add(mountpoint.path)
            below = self._map(mountpoint).below.values()
            self._source.ensure_catalogs(
                place.reference for place in below if is_below(place.path, top) and not place.bound
            )

    def _map(self, mountpoint: Mountpoint) -> CatalogMap:
        known = self._maps.get(mountpoint.path)
        if known is None:
            with self._shelf.use(mountpoint) as catalog:
                known = self._maps.get(mountpoint.path)
                if known is None:
                    # It was open when somebody called `close`.
                    known = self._maps[mountpoint.path] = _catalogs_below(mountpoint, catalog)
        return known

    def _opened(self, mountpoint: Mountpoint) -> Catalog:
        reference = mountpoint.reference
        try:
            return self._source.catalog(reference.digest, reference.size, f"the catalog at {shown(mountpoint.path)}")
        except NotFound as error:
            raise missing_catalog(replace(reference, path=mountpoint.path), self.repository) from error

    def _checked_catalog(self, mountpoint: Mountpoint) -> Catalog:
        """The catalog at `mountpoint`; what hangs below it is known afterwards."""
        catalog = self._opened(mountpoint)
        try:
            if mountpoint.path not in self._maps:
                self._check_root(mountpoint, catalog)
                self._maps[mountpoint.path] = _catalogs_below(mountpoint, catalog)
        except BaseException:
            catalog.close()
            raise
        return catalog

    def _check_root(self, mountpoint: Mountpoint, catalog: Catalog) -> None:
        prefix = catalog.properties.root_prefix
        if prefix != mountpoint.inner_path:
            raise FormatError(what=catalog.what, field="the property root_prefix", problem=f"is {shown(prefix)}")
        root = catalog.lookup(mountpoint.inner_path)
        if root is None or not root.is_directory:
            raise FormatError(what=catalog.what, field="its root", problem="is missing or no directory")
        if mountpoint.inner_path == ROOT:
            return
        outside = self.lookup(mountpoint.path)
        if outside is None or not outside.is_nested_mountpoint or not root.is_nested_root:
            raise FormatError(what=catalog.what, field="its mountpoint", problem="is not marked as one on both sides")
        if _without_catalog_marks(outside) != _without_catalog_marks(root):
            raise FormatError(what=catalog.what, field="its root", problem="differs from its mountpoint")


def missing_catalog(reference: CatalogReference, repository: RepositoryName) -> NotFound:
    """The error of a catalog that no server of `repository` has. One of the root stands for its revision."""
    if reference.path == ROOT:
        return NotFound(
            what=f"the revision of {repository} with the root catalog {reference.digest}",
            hint="no server has that catalog: the digest is mistyped, the revision removed, or the copy not whole; "
            f"`outcrop stat {repository} /` shows the current one",
        )
    return NotFound(
        what=f"the catalog {reference.digest} at {shown(reference.path)} in {repository}",
        hint="no server has it, so nothing below can be read; name another server, or ask who publishes the repository",
    )


def _without_catalog_marks(entry: Entry) -> Entry:
    return replace(entry, marks=entry.marks & ~(Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT))


def _catalogs_below(mountpoint: Mountpoint, catalog: Catalog) -> CatalogMap:
    below: dict[bytes, Mountpoint] = {}
    nested = [(reference, False) for reference in catalog.nested_catalogs()]
    for reference, is_bind in [*nested, *((reference, True) for reference in catalog.bind_mountpoints())]:
        _check_place(reference.path, mountpoint, catalog)
        path = mountpoint.outer(reference.path)
        if path in below:
            raise FormatError(what=catalog.what, field=f"the mountpoint {shown(path)}", problem="stands twice")
        below[path] = Mountpoint(
            path=path,
            inner_path=ROOT if is_bind else reference.path,
            reference=reference,
            depth=mountpoint.depth + 1,
            bound=mountpoint.bound or is_bind,
        )
    return CatalogMap(below)


def _check_place(path: bytes, mountpoint: Mountpoint, catalog: Catalog) -> None:
    components = path.split(b"/")[1:]
    if any(component in (b"", b".", b"..") for component in components):
        raise FormatError(what=catalog.what, field=f"the mountpoint {shown(path)}", problem="is no path")
    if path == mountpoint.inner_path or not is_below(path, mountpoint.inner_path):
        raise FormatError(what=catalog.what, field=f"the mountpoint {shown(path)}", problem="is not below the catalog")
    if mountpoint.depth >= MAXIMUM_NESTING:
        raise FormatError(
            what=catalog.what, field="its nested catalogs", problem=f"are more than {MAXIMUM_NESTING} deep"
        )


def _check_names(entries: list[Entry], path: bytes) -> None:
    previous = b""
    for entry in entries:
        if entry.name == previous:
            problem = "has no name" if not previous else f"is one of two called {previous[:80]!r}"
            raise FormatError(what=f"the directory {shown(path)}", field="an entry", problem=problem)
        previous = entry.name


def _components(path: bytes) -> list[bytes]:
    return [component for component in path.split(b"/") if component not in (b"", b".")]
