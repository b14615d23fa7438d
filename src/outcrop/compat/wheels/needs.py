"""Whether a layer has what its wheels need: a Python that they work with, and the distributions that they import.

Packages of a release bring the metadata of the distributions that they hold, so wheels and packages can be compared.

Source: "Dependency specifiers", Python Packaging User Guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from outcrop.compat.family import Family
from outcrop.compat.lock import Lock, LockedWheel
from outcrop.compat.wheels.placing import PURE
from outcrop.errors import FormatError, InvalidValue

_PYTHON_PACKAGE = re.compile(r"python3\.\d+(?:-minimal)?")
_UPSTREAM = re.compile(r"\d+(?:\.\d+)*")
_HINT = "name a package of the release (`python3-…`) or a wheel that has it in a set"


def layer_python(lock: Lock) -> str:
    """The version of the Python in `lock`, such as 3.11.2; empty without one."""
    for package in lock.packages:
        if _PYTHON_PACKAGE.fullmatch(package.name) and (match := _UPSTREAM.match(package.version)):
            return match[0]
    return ""


def require_python(wheel: LockedWheel, python: str) -> None:
    """Raises InvalidValue unless `wheel` works with the version `python`; FormatError for rubbish."""
    what = f"the wheel {wheel.file}"
    if not python:
        raise InvalidValue(what=what, problem="is of no use: the sets bring no Python", hint="add `python3` to a set")
    try:
        works = SpecifierSet(wheel.python).contains(python)
    except InvalidSpecifier as error:
        raise FormatError(what=what, field="Requires-Python", problem=f"is {wheel.python!r}") from error
    if not works:
        problem = f"is for Python {wheel.python}, and the layer has {python}"
        raise InvalidValue(what=what, problem=problem, hint="choose another version of it")


def require_needs(tree: Path, lock: Lock, family: Family) -> None:
    """Raises InvalidValue unless the layer `tree` has every distribution once, and all that the wheels of `lock` need;
    FormatError for rubbish."""
    if not lock.wheels:
        return
    there = _distributions(tree)
    environment = _environment(layer_python(lock), family)
    for wheel in lock.wheels:
        what = f"the wheel {wheel.file}"
        if len(there.get(wheel.name, ())) > 1:
            problem = f"is there twice: the layer has {wheel.name} {' and '.join(sorted(there[wheel.name]))}"
            raise InvalidValue(what=what, problem=problem, hint="leave one of the two out of the sets")
        for need in _needs(wheel, environment):
            versions = there.get(canonicalize_name(need.name), [])
            if not any(need.specifier.contains(version, prereleases=True) for version in versions):
                has = f"and the layer has {versions[0]}" if versions else "which the layer does not have"
                raise InvalidValue(what=what, problem=f"needs {need.name}{need.specifier}, {has}", hint=_HINT)


def _needs(wheel: LockedWheel, environment: dict[str, str]) -> Iterator[Requirement]:
    for text in wheel.needs:
        try:
            need = Requirement(text)
        except InvalidRequirement as error:
            raise FormatError(what=f"the wheel {wheel.file}", field="Requires-Dist", problem=f"is {text!r}") from error
        if need.marker is None or need.marker.evaluate(environment):
            yield need


def _distributions(tree: Path) -> dict[str, list[str]]:
    """The versions of each distribution of the layer, by its normalised name."""
    found: dict[str, list[str]] = {}
    for one in distributions(path=[str(tree / PURE)]):
        if one.name:
            found.setdefault(canonicalize_name(one.name), []).append(one.version)
    return found


def _environment(python: str, family: Family) -> dict[str, str]:
    """What markers ask for, as the layer's Python would say it."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": family.name,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
        "extra": "",
    }
