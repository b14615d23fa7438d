"""Which system packages a goal needs, and the commands that install them. Nothing here touches the machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class PackageManager(Enum):
    """A package manager, by the name of its program."""

    APT = "apt-get"
    DNF = "dnf"
    ZYPPER = "zypper"


_KEYS = {PackageManager.APT: "apt", PackageManager.DNF: "dnf", PackageManager.ZYPPER: "zypper"}

_INSTALL = {
    PackageManager.APT: (
        *("apt-get", "install", "--yes", "--no-install-recommends", "-qq"),
        # Another installation may be running, a second set-up of ours among them: wait for it.
        *("-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"),
    ),
    PackageManager.DNF: ("dnf", "install", "--assumeyes", "--quiet", "--setopt=install_weak_deps=False"),
    PackageManager.ZYPPER: ("zypper", "--non-interactive", "--quiet", "install", "--no-recommends"),
}

_REFRESH: dict[PackageManager, tuple[tuple[str, ...], ...]] = {
    # An installation that was cut off leaves dpkg half-way; it refuses everything until that is finished.
    PackageManager.APT: (
        ("dpkg", "--configure", "-a"),
        ("apt-get", "update", "-qq", "-o", "DPkg::Lock::Timeout=300"),
    ),
    PackageManager.DNF: (("dnf", "makecache", "--quiet"),),
    PackageManager.ZYPPER: (("zypper", "--non-interactive", "--quiet", "refresh"),),
}


@dataclass(frozen=True, slots=True)
class Probe:
    """Signs that a package is there already; one of them is enough."""

    commands: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    python_module: str = ""


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """One line of the list: what it is for, and what it is called where."""

    name: str
    purpose: str
    goals: tuple[str, ...]
    without: str
    required: bool
    probe: Probe
    names: dict[PackageManager, tuple[str, ...]]
    dnf_first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What is missing for a goal, and the commands that install it, in order."""

    missing: tuple[SystemPackage, ...]
    first: tuple[tuple[str, ...], ...]
    install: tuple[str, ...]
    one_by_one: tuple[tuple[str, ...], ...]
    refresh: tuple[tuple[str, ...], ...]


def read_list(text: str) -> tuple[SystemPackage, ...]:
    """The packages of `text` (TOML, in the format that the head of `system-packages.toml` describes).

    KeyError where an entry lacks a field; ValueError or TypeError where it has an unknown one.
    """
    known = {"name", "purpose", "goals", "without", "required", "probe", "dnf_first", *_KEYS.values()}
    packages = []
    for entry in tomllib.loads(text)["package"]:
        if unknown := set(entry) - known:
            raise ValueError(f"{entry['name']}: unknown fields {', '.join(sorted(unknown))}")
        packages.append(
            SystemPackage(
                name=entry["name"],
                purpose=entry["purpose"],
                goals=tuple(entry["goals"]),
                without=entry["without"],
                required=entry.get("required", False),
                probe=_probe(**entry["probe"]),
                names={manager: tuple(entry[key]) for manager, key in _KEYS.items()},
                dnf_first=tuple(entry.get("dnf_first", ())),
            )
        )
    return tuple(packages)


def _probe(*, commands: Sequence[str] = (), files: Sequence[str] = (), python_module: str = "") -> Probe:
    return Probe(tuple(commands), tuple(files), python_module)


def missing_for(
    goal: str, packages: Iterable[SystemPackage], is_there: Callable[[Probe], bool]
) -> tuple[SystemPackage, ...]:
    """The packages that `goal` uses and that `is_there` does not find."""
    return tuple(package for package in packages if goal in package.goals and not is_there(package.probe))


def install_plan(missing: Sequence[SystemPackage], manager: PackageManager, python_version: str) -> InstallPlan:
    """How `manager` installs what is missing: all at once; and one by one for when one of them cannot be had."""
    names = {
        package.name: tuple(name.replace("{python}", python_version) for name in package.names[manager])
        for package in missing
    }
    command = _INSTALL[manager]
    first: tuple[str, ...] = ()
    if manager is PackageManager.DNF:
        first = tuple(dict.fromkeys(name for package in missing for name in package.dnf_first))
    return InstallPlan(
        missing=tuple(missing),
        first=tuple((*command, name) for name in first),
        install=(*command, *dict.fromkeys(name for package in missing for name in names[package.name])),
        one_by_one=tuple((*command, *names[package.name]) for package in missing),
        refresh=_REFRESH[manager],
    )


def readable_command(plan: InstallPlan) -> str:
    """The plan as a person would type it, without the options that only a script needs."""
    program = plan.install[0]
    names = [word for word in plan.install[1:] if re.fullmatch(r"[A-Za-z0-9][\w.+-]*", word) and word != "install"]
    first = [f"sudo {program} install {command[-1]} && " for command in plan.first]
    return f"{''.join(first)}sudo {program} install {' '.join(names)}"


def described(packages: Sequence[SystemPackage], *, with_loss: bool = False) -> list[str]:
    """One line a package, aligned: what it is for, or (`with_loss`) also what is different without it."""
    width = max((len(package.name) for package in packages), default=0)
    lines = []
    for package in packages:
        lines.append(f"  {package.name.ljust(width)}  {package.purpose}")
        if with_loss:
            lines.append(f"  {' ' * width}  without it: {package.without}")
    return lines
