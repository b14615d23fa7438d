from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from outcrop.compat.family import family_named
from outcrop.compat.lock import FORMAT, Lock, LockedPackage, LockedWheel
from outcrop.compat.wheels.needs import layer_python, require_needs, require_python
from outcrop.compat.wheels.placing import PURE
from outcrop.errors import FormatError, InvalidValue

X86 = family_named("x86_64")
WHEEL = LockedWheel("thing", "1.0", "thing-1.0-py3-none-any.whl", "0" * 64, 1)


def package(name: str, version: str) -> LockedPackage:
    return LockedPackage(name, version, "amd64", name, version, "0" * 64, 1, 1, "pool/x.deb", "")


def locked(*needs: str) -> Lock:
    python = package("python3.11", "3.11.2-6+deb12u6")
    wheel = msgspec.structs.replace(WHEEL, needs=needs)
    return Lock(FORMAT, "bookworm", "x86_64", (), (), (), (python,), (wheel,))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A layer with the wheel, and packages that bring metadata in both of their kinds."""
    for place, name, version in (
        ("thing-1.0.dist-info/METADATA", "thing", "1.0"),
        ("rich-13.3.1.dist-info/METADATA", "rich", "13.3.1"),
        ("PyYAML-6.0.egg-info/PKG-INFO", "PyYAML", "6.0"),
        ("odd-1.dist-info/METADATA", "odd", "1-no-version"),
    ):
        path = tmp_path / PURE / place
        path.parent.mkdir(parents=True)
        path.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "python"),
    [
        ({"python3.11": "3.11.2-6+deb12u6", "python3": "3.11.2-1"}, "3.11.2"),
        ({"python3.13-minimal": "3.13.5-2"}, "3.13.5"),
        ({"python3": "3.11.2-1", "python3-yaml": "6.0"}, ""),
        ({}, ""),
    ],
)
def test_a_layers_python_is_that_of_its_packages(names: dict[str, str], python: str) -> None:
    packages = tuple(package(name, version) for name, version in names.items())
    assert layer_python(msgspec.structs.replace(locked(), packages=packages)) == python


def test_a_wheel_works_with_some_versions_of_python() -> None:
    require_python(WHEEL, "3.11.2")
    require_python(msgspec.structs.replace(WHEEL, python=">=3.6, !=3.7.*"), "3.11.2")
    with pytest.raises(InvalidValue, match=re.escape("is for Python >=3.12, and the layer has 3.11.2")):
        require_python(msgspec.structs.replace(WHEEL, python=">=3.12"), "3.11.2")
    with pytest.raises(InvalidValue, match="the sets bring no Python"):
        require_python(WHEEL, "")
    with pytest.raises(FormatError, match="Requires-Python is 'three'"):
        require_python(msgspec.structs.replace(WHEEL, python="three"), "3.11.2")


@pytest.mark.parametrize(
    "need",
    [
        "rich",
        "rich>=13,<14",
        "pyyaml>=5",
        "PyYAML[fast]~=6.0",
        "odd",
        'colorama; sys_platform == "win32"',
        'tomli; python_version < "3.11"',
        'pytest; extra == "test"',
        'gone; platform_machine == "aarch64"',
    ],
)
def test_what_a_wheel_needs_is_there(tree: Path, need: str) -> None:
    require_needs(tree, locked(need), X86)


@pytest.mark.parametrize(
    ("need", "problem"),
    [
        ("jinja2", "needs jinja2, which the layer does not have"),
        ("rich>=14", "needs rich>=14, and the layer has 13.3.1"),
        ('gone; platform_machine == "x86_64"', "needs gone"),
        ('gone; python_version == "3.11"', "needs gone"),
        ("odd>=1", "needs odd>=1"),
    ],
)
def test_what_a_wheel_needs_and_is_not_there_is_told(tree: Path, need: str, problem: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(problem)):
        require_needs(tree, locked("rich", need), X86)


def test_a_need_that_is_none_is_refused(tree: Path) -> None:
    with pytest.raises(FormatError, match="Requires-Dist is '>= rich'"):
        require_needs(tree, locked(">= rich"), X86)


def test_a_distribution_that_a_package_has_too_is_refused(tree: Path) -> None:
    path = tree / PURE / "Thing-0.9.egg-info/PKG-INFO"
    path.parent.mkdir()
    path.write_text("Metadata-Version: 2.1\nName: Thing\nVersion: 0.9\n")
    with pytest.raises(InvalidValue, match=re.escape("the layer has thing 0.9 and 1.0")):
        require_needs(tree, locked(), X86)


def test_a_layer_without_wheels_needs_nothing(tmp_path: Path) -> None:
    require_needs(tmp_path / "nothing", msgspec.structs.replace(locked(), wheels=()), X86)
