"""A new lock that differs from an old one in what must change, and in nothing else.

The packages of some sources take their newest versions. What these need that the old lock does not give, or not in a
new enough version, comes along; so does what would not work with them any more, or what they cannot stand. Everything
else keeps its version: an update for one fault brings no other surprise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

import msgspec

from outcrop.compat.debian.archive import ReleaseMetadata
from outcrop.compat.debian.control import Alternatives, Relation, alternatives
from outcrop.compat.debian.packages import DebianPackage, PackageIndex
from outcrop.compat.debian.version import compare_versions
from outcrop.compat.lock import Lock, LockedPackage, locked, locked_suites
from outcrop.compat.package_sets import require_one_python
from outcrop.errors import InvalidValue

LIBC_SOURCE = "glibc"
"""The source of the C library, which every program that runs from a layer has open."""


@dataclass(frozen=True, slots=True)
class Change:
    """`name` goes from version `before` (empty for a new package) to `after`, because of `reason`."""

    name: str
    source: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Update:
    """The new lock, and what is different in it, in the order of the names."""

    lock: Lock
    changes: tuple[Change, ...]


def update_lock(lock: Lock, metadata: ReleaseMetadata, sources: Collection[str], *, allow_libc: bool = False) -> Update:
    """`lock` with the newest packages of `sources`, names of source packages.

    InvalidValue where a package is not in the release any more, where a need cannot be satisfied, where two packages
    could not stand each other, or where the C library would change and that is not allowed."""
    updater = _Updater(lock, metadata.index)
    updater.renew(sources)
    require_one_python(updater.packages)
    changes = tuple(updater.changes[name] for name in sorted(updater.changes))
    if not allow_libc and any(change.source == LIBC_SOURCE for change in changes):
        raise InvalidValue(
            what="the update",
            problem="changes the C library, which every program that runs from the layer uses",
            hint="publish it as a new version of the stack; or add `--allow-libc`",
        )
    new = msgspec.structs.replace(
        lock,
        suites=locked_suites(metadata) if changes else lock.suites,
        packages=tuple(updater.packages[name] for name in sorted(updater.packages)),
    )
    return Update(new, changes)


class _Updater:
    def __init__(self, lock: Lock, index: PackageIndex) -> None:
        self._index = index
        self._release = lock.release
        self._excluded = frozenset((*lock.excluded, *lock.left_out))
        self.packages = {package.name: package for package in lock.packages}
        self.changes: dict[str, Change] = {}
        self._open: deque[str] = deque()
        self._allowed = {*map(frozenset, lock.together), *map(frozenset, _opponents(self.packages.values()))}

    def renew(self, sources: Collection[str]) -> None:
        for package in list(self.packages.values()):
            if package.source in sources:
                self._take_newest(package.name, f"{package.source} is to be updated")
        while self._open:
            self._satisfy_needs(self._open.popleft())
            if not self._open:
                self._bring_along()
        self._ship_what_is_needed()

    def _take_newest(self, name: str, reason: str) -> bool:
        """Whether a newer version of `name` takes the old one's place."""
        newest = self._index.package(name)
        before = self.packages[name]
        if newest is None:
            raise InvalidValue(
                what=f"the package {name}",
                problem=f"is not in {self._release} any more",
                hint="build the layer anew, from sets that do without it",
            )
        if compare_versions(newest.version, before.version) <= 0:
            return False
        self._put(newest, reason)
        return True

    def _put(self, newest: DebianPackage, reason: str, needed_by: str = "") -> None:
        before = self.packages.get(newest.name)
        ships = before.ships if before else self.packages[needed_by].ships
        self.packages[newest.name] = locked(newest, before.needed_by if before else needed_by, ships=ships)
        old = before.version if before else ""
        self.changes[newest.name] = Change(newest.name, newest.source, old, newest.version, reason)
        self._open.append(newest.name)

    def _satisfy_needs(self, name: str) -> None:
        for clause in _needs(self.packages[name]):
            if not self._is_satisfied(clause):
                self._satisfy(name, clause)

    def _satisfy(self, name: str, clause: Alternatives) -> None:
        for relation in clause:
            found = self._index.candidate(relation, self._excluded)
            if found is not None:
                self._put(found, f"{name} needs it", name)
                return
        raise InvalidValue(
            what=f"the package {name}",
            problem=f"needs {' or '.join(map(str, clause))}, which {self._release} does not have",
            hint="build the layer anew, from the release as it is now",
        )

    def _bring_along(self) -> None:
        """Takes the newest versions of packages that need an old version of one that has changed, or that one which has
        changed cannot stand."""
        for name, package in list(self.packages.items()):
            broken = next((clause for clause in _needs(package) if not self._is_satisfied(clause)), None)
            if broken is not None and not self._take_newest(name, f"it does not work with the new {broken[0].name}"):
                raise InvalidValue(
                    what=f"the package {name}",
                    problem=f"needs {' or '.join(map(str, broken))}, which the update takes away",
                    hint="build the layer anew, from the release as it is now",
                )
        for one, other in tuple(_opponents(self.packages.values())):
            if self._may_be_together(one, other) or not _refuses(self.packages[one], self.packages[other]):
                continue  # allowed, or the second is a newer one by now
            if not self._take_newest(other, f"{one} cannot stand the old one"):
                raise InvalidValue(
                    what=f"the packages {one} and {other}",
                    problem="cannot be in one layer after the update",
                    hint="build the layer anew, from sets that do without one of them",
                )

    def _may_be_together(self, one: str, other: str) -> bool:
        return any({one, other} <= group for group in self._allowed)

    def _ship_what_is_needed(self) -> None:
        """What only building needed before ships where a package that ships needs it now."""
        left = {name for name, package in self.packages.items() if not package.ships}
        open_names = [name for name in self.changes if name not in left]
        while open_names:
            for clause in _needs(self.packages[open_names.pop()]):
                giving = [
                    name for relation in clause for name, one in sorted(self.packages.items()) if _offers(one, relation)
                ]
                if giving and left.issuperset(giving):
                    self.packages[giving[0]] = msgspec.structs.replace(self.packages[giving[0]], ships=True)
                    left.remove(giving[0])
                    open_names.append(giving[0])

    def _is_satisfied(self, clause: Alternatives) -> bool:
        return any(self._gives(relation) for relation in clause)

    def _gives(self, relation: Relation) -> bool:
        if self._excluded & {relation.name, *self._index.providers(relation.name)}:
            return True
        return any(_offers(package, relation) for package in self.packages.values())


@cache
def _clauses(text: str) -> tuple[Alternatives, ...]:
    return tuple(alternatives(text))


def _needs(package: LockedPackage) -> Iterator[Alternatives]:
    for text in package.needs:
        yield from _clauses(text)


def _offers(package: LockedPackage, relation: Relation) -> bool:
    """Whether `package` satisfies `relation`, by its name or by what it provides."""
    if package.name == relation.name and relation.accepts(package.version):
        return True
    given = (one for text in package.provides for (one,) in _clauses(text))
    return any(one.name == relation.name and relation.accepts(one.version) for one in given)


def _refuses(one: LockedPackage, other: LockedPackage) -> bool:
    return any(_offers(other, relation) for text in one.conflicts for (relation,) in _clauses(text))


def _opponents(packages: Collection[LockedPackage]) -> Iterator[tuple[str, str]]:
    """The pairs of which the first cannot stand the second."""
    offering: dict[str, list[LockedPackage]] = {}
    for package in packages:
        for name in {package.name, *(one.name for text in package.provides for (one,) in _clauses(text))}:
            offering.setdefault(name, []).append(package)
    for package in packages:
        for relation in (one for text in package.conflicts for (one,) in _clauses(text)):
            for other in offering.get(relation.name, ()):
                if other.name != package.name and _offers(other, relation):
                    yield package.name, other.name
