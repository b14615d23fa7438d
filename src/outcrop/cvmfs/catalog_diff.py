"""What differs between two revisions: both trees are walked side by side, and what is the same is never opened.

Catalogs are named by their digests, so two trees that lead into the same catalog at the same place are equal below it.
How a tree is cut into catalogs is no part of what it holds: a subtree that moved into a catalog of its own, or out of
one, is compared row by row and found unchanged. Neither is what catalogs keep for themselves: numbers of hard link
groups, sizes and link counts of directories, the marks of nested catalogs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum, Flag, auto

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, shown
from outcrop.errors import FormatError

LoadCatalog = Callable[[CatalogReference], Catalog]
"""Opens the catalog that a reference names. The walk closes it."""


class Effect(Enum):
    """What happens to one path; the value is how listings mark it."""

    ADDED = "+"
    CHANGED = "~"
    REMOVED = "-"


class Aspect(Flag):
    """What of an entry differs: its kind, what a reader finds in it (bytes, target, device), or the attributes."""

    NONE = 0
    KIND = auto()
    CONTENT = auto()
    ATTRIBUTES = auto()
    ALL = KIND | CONTENT | ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Version:
    """What stands at a path in one of the revisions."""

    entry: Entry
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs: what the old revision has there and what the new one, None where it has nothing.

    Of a directory that comes or goes, everything below is told too. What comes or goes differs in every aspect.
    """

    path: RepositoryPath
    old: Version | None
    new: Version | None
    aspects: Aspect

    @property
    def effect(self) -> Effect:
        if self.old is None:
            return Effect.ADDED
        return Effect.REMOVED if self.new is None else Effect.CHANGED

    @property
    def is_content(self) -> bool:
        """Whether a reader finds something else than before, not only other attributes."""
        return bool(self.aspects & (Aspect.KIND | Aspect.CONTENT))


def differences(
    old: CatalogReference, new: CatalogReference, load: LoadCatalog, *, below: RepositoryPath = ROOT
) -> Iterator[Difference]:
    """Every difference at or below the path `below` between the trees of two root catalogs.

    A directory comes before what it holds, siblings are sorted by name. A nested catalog that both trees have at the
    same place is not opened, nor is one that does not lead to `below`; no more catalogs are open than are nested in
    each other. Bind mountpoints show other revisions, so they are compared by what they point to and not entered.
    Errors are those of `load`, and FormatError for a catalog that belongs elsewhere.
    """
    if old.digest == new.digest:
        return
    with ExitStack() as opened:
        walk = _Walk(load, below, opened)
        yield from walk.run(old, new)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A catalog and what is nested in it, by mountpoint."""

    catalog: Catalog
    nested: Mapping[RepositoryPath, CatalogReference]


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry of one revision, and the catalog that has its row."""

    holder: _Opened
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Step:
    """What stands at one path in both revisions."""

    path: RepositoryPath
    old: _Place | None
    new: _Place | None


class _Walk:
    """Two trees side by side, depth first, with a list in place of recursion: paths may have two thousand parts."""

    def __init__(self, load: LoadCatalog, below: RepositoryPath, opened: ExitStack) -> None:
        self._load = load
        self._below = below
        self._opened = opened

    def run(self, old: CatalogReference, new: CatalogReference) -> Iterator[Difference]:
        pending: list[_Step | _Opened] = [_Step(ROOT, self._root(old), self._root(new))]
        while pending:
            step = pending.pop()
            if isinstance(step, _Opened):
                step.catalog.close()
                continue
            if is_below(step.path, self._below):
                difference = _difference(step)
                if difference is not None:
                    yield difference
            pending += self._contents(step)

    def _root(self, reference: CatalogReference) -> _Place:
        opened = self._open(reference)
        entry = opened.catalog.lookup(ROOT)
        if entry is None:
            raise FormatError(what=opened.catalog.what, field="the row of its root", problem="is missing")
        return _Place(opened, entry)

    def _open(self, reference: CatalogReference) -> _Opened:
        catalog = self._opened.enter_context(self._load(reference))
        if catalog.properties.root_prefix != reference.path:
            raise FormatError(
                what=catalog.what, field="the property root_prefix", problem=f"is not {shown(reference.path)}"
            )
        return _Opened(catalog, {nested.path: nested for nested in catalog.nested_catalogs()})

    def _contents(self, step: _Step) -> list[_Step | _Opened]:
        """What comes next, the last first: the entries of the directory at `step`, then closing what they needed."""
        path = step.path
        old_nested, new_nested = _nested_at(path, step.old), _nested_at(path, step.new)
        if old_nested is not None and new_nested is not None and old_nested.digest == new_nested.digest:
            return []
        old, old_closing = self._inside(step.old, old_nested)
        new, new_closing = self._inside(step.new, new_nested)
        before, after = self._entries(path, old), self._entries(path, new)
        steps: list[_Step | _Opened] = [*old_closing, *new_closing]
        for child in sorted(before.keys() | after.keys(), reverse=True):
            steps.append(_Step(join(path, child), before.get(child), after.get(child)))
        return steps

    def _inside(
        self, place: _Place | None, nested: CatalogReference | None
    ) -> tuple[_Opened | None, tuple[_Opened, ...]]:
        """The catalog with the rows of what lies in the directory at `place`, and what is to be closed after it."""
        if place is None or not place.entry.is_directory or place.entry.is_bind_mountpoint:
            return None, ()
        if nested is None:
            return place.holder, ()
        opened = self._open(nested)
        return opened, (opened,)

    def _entries(self, directory: RepositoryPath, holder: _Opened | None) -> dict[bytes, _Place]:
        if holder is None:
            return {}
        return {
            entry.name: _Place(holder, entry)
            for entry in holder.catalog.children(directory)
            if self._matters(join(directory, entry.name))
        }

    def _matters(self, path: RepositoryPath) -> bool:
        return is_below(path, self._below) or is_below(self._below, path)


def _nested_at(path: RepositoryPath, place: _Place | None) -> CatalogReference | None:
    """The catalog nested at `path`, None where the entries below it are in the same catalog as the directory."""
    if place is None or not place.entry.is_directory or path == ROOT:
        return None
    reference = place.holder.nested.get(path)
    if reference is None and place.entry.is_nested_mountpoint:
        raise FormatError(
            what=place.holder.catalog.what, field=f"the nested catalog {shown(path)}", problem="is referred to nowhere"
        )
    return reference


def _difference(step: _Step) -> Difference | None:
    old, new = step.old, step.new
    if old is None or new is None:
        return Difference(step.path, _version(step.path, old), _version(step.path, new), Aspect.ALL)
    if old.entry == new.entry and not old.entry.is_chunked and not old.entry.is_bind_mountpoint:
        return None
    before, after = _version(step.path, old), _version(step.path, new)
    assert before is not None, "a place has a version"
    assert after is not None, "a place has a version"
    aspects = differing_aspects(before, after)
    if _bound_at(step.path, old) != _bound_at(step.path, new):
        aspects |= Aspect.CONTENT
    return Difference(step.path, before, after, aspects) if aspects else None


def _version(path: RepositoryPath, place: _Place | None) -> Version | None:
    if place is None:
        return None
    return Version(place.entry, place.holder.catalog.chunks(path, place.entry) if place.entry.is_chunked else ())


def _bound_at(path: RepositoryPath, place: _Place) -> Digest | None:
    """The root catalog that a bind mountpoint shows."""
    if not place.entry.is_bind_mountpoint:
        return None
    bound = (one.digest for one in place.holder.catalog.bind_mountpoints() if one.path == path)
    return next(bound, None)


def differing_aspects(old: Version, new: Version) -> Aspect:
    """In what a reader can tell `new` from `old`, two versions of one path."""
    aspects = Aspect.NONE
    if old.entry.kind is not new.entry.kind:
        aspects |= Aspect.KIND
    if _content(old) != _content(new):
        aspects |= Aspect.CONTENT
    if _attributes(old.entry) != _attributes(new.entry):
        aspects |= Aspect.ATTRIBUTES
    return aspects


_UPKEEP = Mark.NESTED_MOUNTPOINT | Mark.NESTED_ROOT | Mark.BIND_MOUNTPOINT
"""Marks that say how a tree is cut into catalogs. Whither a bind mountpoint leads is compared by itself."""


def _content(version: Version) -> tuple[object, ...]:
    entry = version.entry
    return () if entry.is_directory else (entry.size, entry.digest, entry.symlink, version.chunks)


def _attributes(entry: Entry) -> Entry:
    """`entry` with nothing left but its attributes. Nanoseconds that are not known read as zero."""
    plain = replace(
        entry,
        mode=entry.permissions,
        mtime_ns=entry.mtime_ns or 0,
        hardlink_group=0,
        size=0,
        digest=None,
        symlink=b"",
        marks=entry.marks & ~_UPKEEP,
    )
    return replace(plain, linkcount=1) if entry.is_directory else plain
