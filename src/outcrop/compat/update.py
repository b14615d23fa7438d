"""A new lock that differs from an old one in what must change, and in nothing else.

The packages of some sources take their newest versions. What these need that the old lock does not give, or not in a
new enough version, comes along; so does what would not work with them any more. Everything else keeps its version: an
update for one fault brings no other surprise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from outcrop.compat.debian.archive import ReleaseMetadata
from outcrop.compat.debian.control import Alternatives, Relation, alternatives, relations
from outcrop.compat.debian.packages import DebianPackage, PackageIndex
from outcrop.compat.debian.version import compare_versions
from outcrop.compat.lock import Lock, LockedPackage, locked, locked_suites
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

    InvalidValue where a package is not in the release any more, where a need cannot be satisfied, or where the C
    library would change and that is not allowed."""
    updater = _Updater(lock, metadata.index)
    updater.renew(sources)
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
        self._left_out = frozenset(lock.left_out)
        self.packages = {package.name: package for package in lock.packages}
        self.changes: dict[str, Change] = {}
        self._open: deque[str] = deque()

    def renew(self, sources: Collection[str]) -> None:
        for package in list(self.packages.values()):
            if package.source in sources:
                self._take_newest(package.name, f"{package.source} is to be updated")
        while self._open:
            self._satisfy_needs(self._open.popleft())
            if not self._open:
                self._bring_along()

    def _take_newest(self, name: str, reason: str) -> bool:
        """Whether a newer version of `name` takes the old one's place."""
        newest = self._index.package(name)
        before = self.packages.get(name)
        if newest is None:
            raise InvalidValue(
                what=f"the package {name}",
                problem=f"is not in {self._release} any more",
                hint="build the layer anew, from sets that do without it",
            )
        if before is not None and compare_versions(newest.version, before.version) <= 0:
            return False
        self._put(newest, before, reason)
        return True

    def _put(self, newest: DebianPackage, before: LockedPackage | None, reason: str) -> None:
        self.packages[newest.name] = locked(
            newest, before.needed_by if before else reason, ships=before.ships if before else True
        )
        old = before.version if before else ""
        self.changes[newest.name] = Change(newest.name, newest.source, old, newest.version, reason)
        self._open.append(newest.name)

    def _satisfy_needs(self, name: str) -> None:
        for text in self.packages[name].needs:
            for clause in alternatives(text):
                if not self._is_satisfied(clause):
                    self._satisfy(name, clause)

    def _satisfy(self, name: str, clause: Alternatives) -> None:
        for relation in clause:
            found = self._index.package(relation.name)
            if found is not None and relation.accepts(found.version):
                self._put(found, self.packages.get(found.name), f"{name} needs it")
                return
        raise InvalidValue(
            what=f"the package {name}",
            problem=f"needs {' or '.join(map(str, clause))}, which {self._release} does not have",
            hint="build the layer anew, from the release as it is now",
        )

    def _bring_along(self) -> None:
        """Takes the newest versions of packages that need an old version of one that has changed."""
        for name, package in list(self.packages.items()):
            clauses = [clause for text in package.needs for clause in alternatives(text)]
            broken = next((clause for clause in clauses if not self._is_satisfied(clause)), None)
            if broken is not None and not self._take_newest(name, f"it does not work with the new {broken[0].name}"):
                raise InvalidValue(
                    what=f"the package {name}",
                    problem=f"needs {' or '.join(map(str, broken))}, which the update takes away",
                    hint="build the layer anew, from the release as it is now",
                )

    def _is_satisfied(self, clause: Alternatives) -> bool:
        return any(self._gives(relation) for relation in clause)

    def _gives(self, relation: Relation) -> bool:
        if self._left_out & {relation.name, *self._index.providers(relation.name)}:
            return True
        package = self.packages.get(relation.name)
        if package is not None and relation.accepts(package.version):
            return True
        return any(
            given.name == relation.name and relation.accepts(given.version)
            for other in self.packages.values()
            for text in other.provides
            for given in relations(text)
        )
