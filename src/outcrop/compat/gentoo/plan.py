"""What a layer of Gentoo Prefix will be made of: its sets as atoms, with the reason of each. Pure.

Which versions these become, and what they need, Portage finds out from the snapshot while it builds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import msgspec

from outcrop.compat.family import Family
from outcrop.compat.gentoo.lock import FORMAT, GENTOO_PREFIX, GentooLock, LockedAtom, LockedOverlay
from outcrop.compat.gentoo.portage_files import base_files, digest_of_files, package_files
from outcrop.compat.gentoo.settings import pinned_bootstrap, pinned_snapshot, profile_for
from outcrop.compat.package_sets import (
    LayerDescription,
    PackageSet,
    WantedPackage,
    WantedWheel,
    wanted_names,
    wanted_wheels,
)
from outcrop.errors import InvalidValue

_ANY_PREFIX = PurePosixPath("/prefix")
"""Settings are compared with the prefix left open: one lock serves every repository."""


@dataclass(frozen=True, slots=True)
class PlannedAtom:
    """An atom, the `packages` of the sets that ask for it, and why. Without `ships` it is only there for building."""

    atom: str
    packages: tuple[str, ...]
    reason: str
    ships: bool


@dataclass(frozen=True, slots=True)
class GentooPlan:
    """A planned layer. `without_atom`: packages of the sets that need none in Gentoo, or that it does not have."""

    family: Family
    sets: tuple[PackageSet, ...]
    atoms: tuple[PlannedAtom, ...]
    without_atom: tuple[str, ...]
    lock: GentooLock

    @property
    def shipped(self) -> tuple[PlannedAtom, ...]:
        """What is part of the finished layer."""
        return tuple(one for one in self.atoms if one.ships)


def plan_prefix(description: LayerDescription, family: Family, asked_for: Iterable[str]) -> GentooPlan:
    """The layer of `family`. InvalidValue for sets and settings that cannot be satisfied."""
    settings = description.gentoo
    # Sets and names for one release of Debian say nothing about Gentoo.
    sets = replace(description, release="").sets_for(family, asked_for)
    snapshot = pinned_snapshot(settings)
    wanted = _wanted(sets, family)
    shipped = set(_wanted([one for one in sets if one.ships], family))
    atoms = _atoms(wanted, shipped)
    if not any(one.ships for one in atoms):
        raise InvalidValue(
            what="the sets",
            problem="name no package of Gentoo",
            hint='give packages an atom: `gentoo = "app-shells/bash"`',
        )
    told = base_files(settings, family, _ANY_PREFIX) | package_files(
        description, family, (one.atom for one in atoms if one.ships), _ANY_PREFIX
    )
    lock = GentooLock(
        format=FORMAT,
        back_end=GENTOO_PREFIX,
        release=f"gentoo-{snapshot.date}",
        family=family.name,
        sets=tuple(one.name for one in sets),
        snapshot=snapshot,
        bootstrap=pinned_bootstrap(settings).sha256,
        overlays=tuple(LockedOverlay(one.name, one.commit) for one in settings.overlay),
        profile=profile_for(settings, family),
        settings=digest_of_files(told),
        atoms=tuple(LockedAtom(one.atom, one.ships) for one in atoms),
    )
    return GentooPlan(family, sets, atoms, tuple(sorted(name for name in wanted if not wanted[name].gentoo)), lock)


def _wanted(sets: Sequence[PackageSet], family: Family) -> dict[str, WantedPackage | WantedWheel]:
    """What `sets` name, by name; for Debian some of it are wheels, which for Gentoo are packages like all others."""
    return {**wanted_wheels(sets, family), **wanted_names(sets, family, "")}


def wanted_atoms(sets: Sequence[PackageSet], family: Family) -> tuple[str, ...]:
    """The atoms that `sets` name, each once."""
    return tuple(sorted({one.gentoo for one in _wanted(sets, family).values() if one.gentoo}))


def sets_with_atoms(sets: Iterable[PackageSet]) -> list[PackageSet]:
    """`sets` without what Gentoo has no atom for, and so without the programs of those."""
    return [
        msgspec.structs.replace(
            one,
            package=tuple(package for package in one.package if package.gentoo),
            wheel=tuple(wheel for wheel in one.wheel if wheel.gentoo),
        )
        for one in sets
    ]


def _atoms(wanted: dict[str, WantedPackage | WantedWheel], shipped: set[str]) -> tuple[PlannedAtom, ...]:
    """One entry an atom, by name. What any shipped package asks for ships."""
    asking: dict[str, list[str]] = {}
    for name, package in wanted.items():
        if package.gentoo:
            asking.setdefault(package.gentoo, []).append(name)
    return tuple(
        PlannedAtom(
            atom,
            tuple(names),
            next((wanted[name].reason for name in names if name in shipped), wanted[names[0]].reason),
            not shipped.isdisjoint(names),
        )
        for atom, names in sorted(asking.items())
    )
