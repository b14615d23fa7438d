from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from outcrop.compat.debian.archive import Archive
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import family_named
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.compat.plan import LayerPlan, plan_layer
from outcrop.errors import InvalidValue
from tests.compat.debian.archive_made_here import ADDRESS, NOW, MadeArchive, MadeKey, MadeSuite
from tests.compat.debian.packages_made_here import MadePackage

pytestmark = pytest.mark.integration  # gpgv

LAYER = """\
standard_sets = false
back_end = "debian"
release = "bookworm"
suites = ["bookworm"]
[[exclude]]
name = "dpkg"
reason = "nothing installs packages"
"""

PACKAGES = (
    MadePackage("bash", fields={"Depends": "libc6 (>= 2), dpkg"}),
    MadePackage("libc6", "2.36"),
    MadePackage("dpkg"),
    MadePackage("locales", fields={"Depends": "libc6, libc-l10n"}),
    MadePackage("libc-l10n"),
    MadePackage("python3.11", fields={"Depends": "libc6"}),
    MadePackage("python3.13", fields={"Depends": "libc6"}),
    MadePackage("elfx86exts"),
)


def set_of(*names: str, **fields: str) -> str:
    head = "".join(f"{key} = {value}\n" for key, value in fields.items())
    packages = "".join(f'[[package]]\nname = "{name}"\nreason = "{name} is wanted"\n' for name in names)
    return f'purpose = "a purpose"\n{head}{packages}'


def described(directory: Path, **sets: str) -> LayerDescription:
    directory.mkdir(parents=True)
    for name, text in {"layer": LAYER, **sets}.items():
        (directory / f"{name}.toml").write_text(text)
    return read_description(directory)


def planned(
    directory: Path,
    key: MadeKey,
    *asked_for: str,
    family: str = "x86_64",
    packages: Sequence[MadePackage] = PACKAGES,
    **sets: str,
) -> LayerPlan:
    made = MadeArchive()
    made.add_suite(MadeSuite("bookworm", architectures=("amd64", "arm64")), packages, key)
    archive = Archive((ADDRESS,), PackageMirror(directory / "mirror", made.network()), key.keyring)
    return plan_layer(described(directory / "compat", **sets), family_named(family), asked_for, archive, NOW)


def test_a_plan_names_every_package_and_why_it_is_there(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, base=set_of("bash"))
    assert [(package.name, plan.reason(package)) for package in plan.lock.packages] == [
        ("bash", "bash is wanted"),
        ("libc6", "needed by bash"),
    ]
    assert plan.lock.left_out == ("dpkg",)
    assert (plan.lock.release, plan.lock.family, plan.lock.sets) == ("bookworm", "x86_64", ("base",))
    assert plan.shipped == plan.lock.packages


def test_what_only_the_builder_needs_does_not_ship(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, base=set_of("bash"), only=set_of("locales", ships="false"))
    assert [package.name for package in plan.lock.packages] == ["bash", "libc-l10n", "libc6", "locales"]
    assert [package.name for package in plan.shipped] == ["bash", "libc6"]


def test_optional_sets_and_those_of_other_families_are_left_out(tmp_path: Path, archive_key: MadeKey) -> None:
    packages = (*PACKAGES, MadePackage("zsh", architecture="all"))
    sets = {
        "base": set_of("zsh"),
        "more": set_of("bash", optional="true"),
        "x86": set_of("elfx86exts", families='["x86_64"]'),
    }
    plan = planned(tmp_path / "a", archive_key, packages=packages, **sets)
    assert plan.lock.sets == ("base", "x86")
    plan = planned(tmp_path / "b", archive_key, "more", packages=packages, **sets)
    assert plan.lock.sets == ("base", "more", "x86")
    plan = planned(tmp_path / "c", archive_key, family="aarch64", packages=packages, **sets)
    assert [package.name for package in plan.lock.packages] == ["zsh"]


def test_two_pythons_are_refused(tmp_path: Path, archive_key: MadeKey) -> None:
    with pytest.raises(InvalidValue, match=r"Python 3\.11 and 3\.13"):
        planned(tmp_path, archive_key, one=set_of("python3.11"), other=set_of("python3.13"))


def test_two_pythons_are_refused_when_a_dependency_brings_the_second(tmp_path: Path, archive_key: MadeKey) -> None:
    packages = (*PACKAGES, MadePackage("gdb", fields={"Depends": "python3.13"}))
    with pytest.raises(InvalidValue, match=r"Python 3\.11 and 3\.13"):
        planned(tmp_path, archive_key, packages=packages, one=set_of("python3.11", "gdb"))


def test_a_package_that_the_release_does_not_have_is_told(tmp_path: Path, archive_key: MadeKey) -> None:
    with pytest.raises(InvalidValue, match="the package fish does not exist in bookworm"):
        planned(tmp_path, archive_key, base=set_of("fish"))


def test_a_plan_of_the_same_metadata_is_the_same(tmp_path: Path, archive_key: MadeKey) -> None:
    one = planned(tmp_path / "a", archive_key, base=set_of("bash", "python3.11"))
    other = planned(tmp_path / "b", archive_key, base=set_of("bash", "python3.11"))
    assert one.lock.packages == other.lock.packages
