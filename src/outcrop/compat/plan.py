"""What a layer will be made of: its sets resolved against a release, as a lock, with the reason of each package."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from outcrop.compat.debian.archive import Archive, read_release, suites_of
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.debian.resolve import resolve
from outcrop.compat.family import Family
from outcrop.compat.lock import Lock, LockedPackage, LockedWheel, lock_of
from outcrop.compat.package_sets import (
    LayerDescription,
    PackageSet,
    WantedPackage,
    WantedWheel,
    require_one_python,
    wanted_names,
    wanted_wheels,
)
from outcrop.compat.wheels.index import fetch_wheel
from outcrop.compat.wheels.needs import layer_python, require_python
from outcrop.compat.wheels.wheel_file import read_wheel
from outcrop.errors import InvalidValue
from outcrop.progress import SILENT, Progress

PLAN_FILE = "plan.txt"
_SHOWN = 4
_FIT_HINT = (
    "name the directory of its stack with `--stack`, or make a lock of what is declared: `outcrop compat plan --lock`"
)
_RELEASE_HINT = (
    'write `release = "bookworm"` or `release = "trixie"` in `compat/layer.toml`, or name it with `--release`'
)


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A resolved layer. `wanted` are the packages that a set names, by their names in the release."""

    family: Family
    sets: tuple[PackageSet, ...]
    wanted: Mapping[str, WantedPackage]
    lock: Lock

    @property
    def shipped(self) -> tuple[LockedPackage, ...]:
        """The packages that are part of the finished layer."""
        return tuple(package for package in self.lock.packages if package.ships)

    def reason(self, package: LockedPackage | LockedWheel) -> str:
        """Why `package` is there, in words."""
        if isinstance(package, LockedWheel):
            wheel = wanted_wheels(self.sets, self.family).get(package.name)
            return wheel.reason if wheel else _NO_REASON
        if package.name in self.wanted:
            return self.wanted[package.name].reason
        return f"needed by {package.needed_by}" if package.needed_by else _NO_REASON


@dataclass(frozen=True, slots=True)
class FamilyDifference:
    """A package or wheel that is not the same in all families: its versions by family, empty where it is not there."""

    name: str
    versions: Mapping[str, str]


def family_differences(plans: Sequence[LayerPlan]) -> tuple[FamilyDifference, ...]:
    """What the layers of several families do not have in common, in the order of the names."""
    versions = {
        plan.family.name: {
            **{one.name: one.version for one in plan.shipped},
            **{f"{one.name} (wheel)": one.version for one in plan.lock.wheels},
        }
        for plan in plans
    }
    names = sorted({name for packages in versions.values() for name in packages})
    found = (
        FamilyDifference(name, {family: packages.get(name, "") for family, packages in versions.items()})
        for name in names
    )
    return tuple(one for one in found if len(set(one.versions.values())) > 1)


_NO_REASON = "named by a set that is not declared any more"


def plan_text(description: LayerDescription, lock: Lock, family: Family) -> bytes:
    """The plan of a layer that was built from `lock`, for its record: a line for each package and wheel."""
    sets = tuple(one for one in description.sets if one.name in lock.sets)
    plan = LayerPlan(family, sets, wanted_names(sets, family, lock.release), lock)
    lines = []
    for one in lock.all:
        ships = isinstance(one, LockedWheel) or one.ships
        lines.append(f"{one.name} {one.version}{'' if ships else ' (only while building)'}: {plan.reason(one)}\n")
    return "".join(lines).encode()


def plan_layer(
    description: LayerDescription,
    family: Family,
    asked_for: Iterable[str],
    archive: Archive,
    now: datetime,
    progress: Progress = SILENT,
) -> LayerPlan:
    """The layer of `family` from Debian's packages, as the release stands at this time.

    Wheels are fetched: what they need is in their files. Raises InvalidValue for sets that cannot be satisfied and
    where no release is named, and what reading the release and the wheels raises."""
    if not description.release:
        raise InvalidValue(what="the layer", problem="names no release of Debian", hint=_RELEASE_HINT)
    sets = description.sets_for(family, asked_for)
    suites = description.suites or suites_of(description.release)
    metadata = read_release(archive, description.release, suites, family.debian, now, progress)
    excluded = [exclusion.name for exclusion in description.exclusions]
    wanted = wanted_names(sets, family, description.release)
    together = [one.packages for one in description.together]
    shipping = wanted_names([one for one in sets if one.ships], family, description.release)
    whole = resolve(metadata.index, shipping, excluded, together, description.release, wanted)
    require_one_python(whole.chosen)
    wheels = [_locked_wheel(archive.store, wheel) for _, wheel in sorted(wanted_wheels(sets, family).items())]
    names = [one.name for one in sets]
    lock = lock_of(metadata, whole, family.name, names, whole.shipped, wheels, excluded, together)
    for wheel in wheels:
        require_python(wheel, layer_python(lock))
    return LayerPlan(family, sets, wanted, lock)


def require_fit(lock: Lock, description: LayerDescription, family: Family, asked_for: Iterable[str], what: str) -> None:
    """Raises InvalidValue, which names the lock as `what`, unless it was made from the sets of `family`'s layer, and
    has all that they name. The optional ones are those of the lock, and those that are `asked_for`."""
    declared = {one.name for one in description.sets}
    there = replace(description, release=lock.release)
    sets = there.sets_for(family, {*asked_for, *(name for name in lock.sets if name in declared)})
    shipped = {one.name for one in lock.packages if one.ships}
    names = {one.name for one in lock.packages}
    of_shipping = wanted_names([one for one in sets if one.ships], family, lock.release)
    wheels = {one.sha256 for one in lock.wheels}
    packages = (set(of_shipping) - shipped) | (set(wanted_names(sets, family, lock.release)) - names)
    differences = (
        _counted("lacks the set", [one.name for one in sets if one.name not in lock.sets]),
        _counted("has the undeclared set", [name for name in lock.sets if name not in declared]),
        _counted("lacks the package", packages),
        _counted(
            "lacks the wheel", [one.file for one in wanted_wheels(sets, family).values() if one.sha256 not in wheels]
        ),
    )
    told = [one for one in differences if one]
    if told:
        raise InvalidValue(what=f"the lock {what}", problem=f"is of other sets: it {', '.join(told)}", hint=_FIT_HINT)


def _counted(words: str, names: Collection[str]) -> str:
    """Such as `lacks the packages bash, dash and 3 more`; empty without `names`."""
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{words}{'s' if len(names) > 1 else ''} {shown}{more}"


def _locked_wheel(mirror: PackageMirror, wheel: WantedWheel) -> LockedWheel:
    path = fetch_wheel(mirror, wheel.name, wheel.version, wheel.sha256)
    facts = read_wheel(path, wheel.file)
    size = path.stat().st_size
    return LockedWheel(wheel.name, wheel.version, wheel.file, wheel.sha256, size, facts.python, facts.needs)
