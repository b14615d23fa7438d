"""What goes into a pack: chosen paths, or what a trace holds, with everything that they need.

Without owners, everything belongs to user and group 0, so that an image is the same for everybody and can be unpacked
by anybody. Files then lose what their owner lent to whoever runs them, as by chown(2): set-user-id, set-group-id and
file capabilities.

Rules:
- A directory that is named brings all that lies below it. Hidden entries, and other revisions that are bound into the
  tree, stay out unless they are named, as in listings.
- What a trace found brings just itself: a directory that was listed comes without what nobody asked for.
- All directories that lead to an entry come with it.
- A symbolic link brings what it leads to, as long as that lies in the repository: by a relative target or one below
  `/cvmfs/<repository>`. From a named path, a link to a directory brings all of it. Links that lead nowhere or out of
  the repository are kept as they are.
- A variant link (`$(NAME)/…`) is kept as it was published, and then leads nowhere, since only CernVM-FS clients answer
  what it asks. With settings given, it is filled in, and followed.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from outcrop.client.checkout_links import FileNames, file_names
from outcrop.client.trace.access import Access
from outcrop.client.tree import MAXIMUM_SYMLINKS, Located, Tree
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, EntryKind
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, join, parent, shown
from outcrop.cvmfs.variant import expand, is_variant
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import InvalidValue, NotFound
from outcrop.strace.asked_paths import AccessKind

_SET_ID = stat.S_ISUID | stat.S_ISGID
_CAPABILITY = b"security.capability"

_CATALOGS_AT_ONCE = 16
"""How many catalogs are asked for at the same time while paths are looked up: enough to hide a network's latency."""


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """`settings` fill in variant links, None to keep them as they are. `owner`: keep users and groups."""

    settings: Mapping[bytes, bytes] | None = None
    owner: bool = False


DEFAULT_OPTIONS = SelectionOptions()


@dataclass(frozen=True, slots=True)
class Selection:
    """The entries of a pack: each directory before what it holds, siblings sorted, the root of the repository first.

    `revision` and `root_catalog` say whence they are, `paths` what was asked for (nothing for a trace)."""

    repository: RepositoryName
    revision: int
    root_catalog: Digest
    paths: tuple[RepositoryPath, ...]
    entries: tuple[Located, ...]
    names: FileNames

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return self.names.size

    def count(self, *kinds: EntryKind) -> int:
        """How many entries are of one of `kinds`."""
        counts = Counter(located.entry.kind for located in self.entries)
        return sum(counts[kind] for kind in kinds)


def select_paths(tree: Tree, paths: Iterable[RepositoryPath], options: SelectionOptions = DEFAULT_OPTIONS) -> Selection:
    """The selection of `paths`; NotFound for one at which nothing stands."""
    wanted = tuple(sorted(set(paths)))
    gathering = _Gathering(tree, options.settings)
    gathering.fetch_ahead(wanted)
    for path in wanted:
        if not gathering.take(path, whole=True, follows=True):
            raise NotFound(
                what=f"{shown(path)} in {tree.repository}", hint=f"`outcrop ls {tree.repository}` lists what is there"
            )
    gathering.complete()
    return _selection(tree, wanted, gathering.entries, options)


def select_trace(tree: Tree, accesses: Sequence[Access], options: SelectionOptions = DEFAULT_OPTIONS) -> Selection:
    """The selection of everything that `accesses` found in this repository.

    What the trace found and this revision has not is left out. InvalidValue if the trace holds nothing of it at all."""
    found = sorted({(access.path, access.kind is not AccessKind.READLINK) for access in accesses
                    if access.found and access.repository == tree.repository})  # fmt: skip
    if not found:
        others = ", ".join(sorted({access.repository for access in accesses})) or "no repository"
        raise InvalidValue(
            what="the trace",
            problem=f"holds nothing of {tree.repository}",
            hint=f"it holds accesses to {others}",
        )
    gathering = _Gathering(tree, options.settings)
    gathering.fetch_ahead([path for path, _ in found])
    taken = [gathering.take(path, whole=False, follows=follows) for path, follows in found]
    if not any(taken):
        raise InvalidValue(
            what="the trace", problem=f"holds no path that this revision of {tree.repository} has",
            hint="name the revision that was traced with `--tag`, `--revision` or `--root-hash`",
        )  # fmt: skip
    gathering.complete()
    return _selection(tree, (), gathering.entries, options)


def _selection(
    tree: Tree, paths: tuple[RepositoryPath, ...], found: Mapping[bytes, Entry], options: SelectionOptions
) -> Selection:
    ordered = sorted(found.items(), key=lambda item: item[0].split(b"/"))
    entries = tuple(
        Located(RepositoryPath(path), entry if options.owner else _without_owner(entry)) for path, entry in ordered
    )
    with tree.catalog_at(ROOT) as root:
        revision = root.properties.revision
    return Selection(
        tree.repository, revision, tree.root.reference.digest, paths, entries, file_names(entries)
    )  # fmt: skip


def _without_owner(entry: Entry) -> Entry:
    mode = entry.mode & ~_SET_ID if entry.is_file else entry.mode
    lent = entry.xattrs.get(_CAPABILITY) is not None
    if not (entry.uid or entry.gid or lent or mode != entry.mode):
        return entry
    xattrs = Xattrs(tuple(item for item in entry.xattrs if item[0] != _CAPABILITY)) if lent else entry.xattrs
    return replace(entry, uid=0, gid=0, mode=mode, xattrs=xattrs)


class _Gathering:
    """Entries by path, and the links whose targets are still to come."""

    def __init__(self, tree: Tree, settings: Mapping[bytes, bytes] | None) -> None:
        self._tree = tree
        self._settings = settings
        self.entries: dict[bytes, Entry] = {ROOT: tree.entry(ROOT)}
        self._whole: set[bytes] = set()
        self._links: list[RepositoryPath] = []

    def fetch_ahead(self, paths: Iterable[RepositoryPath]) -> None:
        """Fetches the catalogs on the way to `paths`, many at once."""
        directories = sorted({parent(path) for path in paths})
        with ThreadPoolExecutor(_CATALOGS_AT_ONCE, thread_name_prefix="catalogs") as pool:
            for _ in pool.map(self._tree.mountpoint, directories):
                pass

    def take(self, path: bytes, *, whole: bool, follows: bool) -> bool:
        """Takes in what stands at `path`, with the links and directories on the way; whether there is something.

        `whole`: with everything below a directory. `follows`: with what a link at its end leads to."""
        place = ROOT
        remaining = _components(path)
        links = 0
        stands = False  # whether `path` itself names a link, which is something wherever it leads
        while remaining:
            name = remaining.pop(0)
            if name == b"..":
                if place == ROOT:
                    return stands
                place = parent(place)
                continue
            reached = join(place, name)
            entry = self._entry(reached)
            if entry is None:
                return stands
            if not entry.is_symlink or not (remaining or follows):
                place = reached
                continue
            stands = stands or (not links and not remaining)
            links += 1
            target = _inner_target(entry, self._tree.repository)
            if target is None or links > MAXIMUM_SYMLINKS:
                return stands
            if target.startswith(b"/"):
                place = ROOT
            remaining = _components(target) + remaining
        if whole and self.entries[place].is_directory:
            self._take_below(place)
        return True

    def complete(self) -> None:
        """Takes in what the links among the entries lead to, until nothing is missing."""
        while self._links:
            self.take(self._links.pop(), whole=True, follows=True)

    def _entry(self, path: RepositoryPath) -> Entry | None:
        known = self.entries.get(path)
        if known is None:
            known = self._tree.lookup(path)
            if known is not None:
                known = self.entries[path] = self._filled_in(known)
        return known

    def _filled_in(self, entry: Entry) -> Entry:
        if self._settings is None or not entry.is_symlink or not is_variant(entry.symlink):
            return entry
        target = expand(entry.symlink, self._settings)
        return replace(entry, symlink=target, size=len(target))

    def _take_below(self, directory: RepositoryPath) -> None:
        if any(is_below(directory, whole) for whole in self._whole):
            return
        self._whole.add(directory)
        for located in self._tree.walk(directory):
            if located.path == directory:
                continue
            if located.entry.is_bind_mountpoint:
                continue
            if located.path not in self.entries:
                self.entries[located.path] = self._filled_in(located.entry)
            if located.entry.is_symlink:
                self._links.append(located.path)


def _inner_target(link: Entry, repository: RepositoryName) -> bytes | None:
    """Where `link` leads inside the repository, absolute ones from its root on; None for one that leads out, or asks a
    question that nobody has answered."""
    target = link.symlink
    if is_variant(target) or not target:
        return None
    if not target.startswith(b"/"):
        return target
    base = b"/cvmfs/" + repository.encode()
    return (target[len(base) :] or b"/") if is_below(target, base) else None


def _components(path: bytes) -> list[bytes]:
    return [component for component in path.split(b"/") if component not in (b"", b".")]
