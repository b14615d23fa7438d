"""Which packages a set needs, with everything that these need.

A suite has one newest version of each package, so there is little to search: what is needed is taken, the first
alternative that can be had, unless another one is there already, as Debian's own tools prefer. What is left out by
declaration counts as there. Two packages that cannot stand each other are an error that names them: the set says which
of the alternatives it wants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from outcrop.compat.debian.control import Alternatives, Relation
from outcrop.compat.debian.packages import DebianPackage, PackageIndex
from outcrop.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Chosen:
    """A package of the layer, and the package that first needed it; empty for one that a set names."""

    package: DebianPackage
    needed_by: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was chosen, by name, in the order of the names, which declared exclusions anything asked for, and the names
    of what is `shipped`: all but what is only there for building."""

    chosen: Mapping[str, Chosen]
    left_out: frozenset[str]
    shipped: frozenset[str]

    def path(self, name: str) -> tuple[str, ...]:
        """How `name` came in: from a package that a set names to `name` itself."""
        steps = [name]
        while self.chosen[steps[0]].needed_by:
            steps.insert(0, self.chosen[steps[0]].needed_by)
        return tuple(steps)


def resolve(
    index: PackageIndex,
    wanted: Iterable[str],
    excluded: Iterable[str] = (),
    together: Iterable[Collection[str]] = (),
    release: str = "the release",
    for_building: Iterable[str] = (),
) -> Resolution:
    """All packages that `wanted` need, without the `excluded` ones. Those of one group of `together` may be in one
    layer whatever they say of each other. What is wanted `for_building` comes after them, so that it has no say in what
    ships.

    InvalidValue where something cannot be had, or two packages cannot stand each other."""
    return _Resolver(index, frozenset(excluded), tuple(map(frozenset, together)), release).resolved(
        wanted, for_building
    )


class _Resolver:
    def __init__(
        self, index: PackageIndex, excluded: frozenset[str], together: tuple[frozenset[str], ...], release: str
    ) -> None:
        self._index = index
        self._together = together
        self._excluded = excluded
        self._release = release
        self._chosen: dict[str, Chosen] = {}
        self._provided: dict[str, list[DebianPackage]] = {}
        self._left_out: set[str] = set()
        self._open: deque[DebianPackage] = deque()

    def resolved(self, wanted: Iterable[str], for_building: Iterable[str]) -> Resolution:
        self._take(wanted)
        shipped = frozenset(self._chosen)
        self._take(for_building)
        self._check_conflicts()
        return Resolution(dict(sorted(self._chosen.items())), frozenset(self._left_out), shipped)

    def _take(self, wanted: Iterable[str]) -> None:
        """Chooses the packages `wanted` and all that they need."""
        for name in wanted:
            package = self._index.package(name)
            if package is None:
                raise InvalidValue(
                    what=f"the package {name}",
                    problem=f"does not exist in {self._release}",
                    hint=self._hint_for(name),
                )
            self._choose(package, "")
        while self._open:
            package = self._open.popleft()
            for clause in package.needs:
                self._satisfy(package, clause)

    def _choose(self, package: DebianPackage, needed_by: str) -> None:
        if package.name in self._chosen:
            if not needed_by:
                self._chosen[package.name] = Chosen(package, "")
            return
        self._chosen[package.name] = Chosen(package, needed_by)
        for given in (Relation(package.name), *package.provides):
            self._provided.setdefault(given.name, []).append(package)
        self._open.append(package)

    def _satisfy(self, package: DebianPackage, clause: Alternatives) -> None:
        for relation in clause:
            if any(other.offers(relation) for other in self._provided.get(relation.name, ())):
                return
        for relation in clause:
            excluded = self._excluded_for(relation)
            if excluded:
                self._left_out.add(excluded)
                return
        for relation in clause:
            found = self._index.candidate(relation, self._excluded)
            if found is not None:
                self._choose(found, package.name)
                return
        raise InvalidValue(
            what=f"the package {package.name}",
            problem=f"needs {' or '.join(map(str, clause))}, which {self._release} does not have"
            + self._because(package.name),
            hint=f"leave {package.name} out of the set, or declare an exclusion with its reason",
        )

    def _excluded_for(self, relation: Relation) -> str:
        """The excluded package that counts as there for `relation`; empty without one."""
        if relation.name in self._excluded:
            return relation.name
        return next((name for name in self._index.providers(relation.name) if name in self._excluded), "")

    def _check_conflicts(self) -> None:
        for chosen in self._chosen.values():
            for relation in chosen.package.conflicts:
                for other in self._provided.get(relation.name, ()):
                    pair = {chosen.package.name, other.name}
                    allowed = len(pair) == 1 or any(pair <= group for group in self._together)
                    if not allowed and other.offers(relation):
                        raise InvalidValue(
                            what=f"the packages {chosen.package.name} and {other.name}",
                            problem=f"cannot be in one layer{self._because(chosen.package.name)}"
                            f"{self._because(other.name)}",
                            hint="name in a set the alternative that you want, or leave one of them out",
                        )

    def _because(self, name: str) -> str:
        needed_by = self._chosen[name].needed_by
        return f" ({name} is needed by {needed_by})" if needed_by else f" ({name} is in a set)"

    def _hint_for(self, name: str) -> str:
        providers = self._index.providers(name)
        if providers:
            return f"it is provided by {', '.join(providers[:5])}: name one of them"
        near = sorted(other for other in self._index.paragraphs if other.startswith(name[: max(4, len(name) - 2)]))
        return f"did you mean {', '.join(near[:4])}?" if near else "check its name in the set"
