from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from outcrop.compat.build import fetch_packages
from outcrop.compat.debian.archive import Archive
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import family_named
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.compat.plan import FamilyDifference, LayerPlan, family_differences, plan_layer, plan_text, require_fit
from outcrop.errors import InvalidValue, NotFound
from tests.compat.debian.archive_made_here import ADDRESS, NOW, MadeArchive, MadeKey, MadeSuite
from tests.compat.debian.packages_made_here import MadePackage
from tests.compat.wheels.wheels_made_here import INDEX, MadeWheel

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
    MadePackage("python3.11", "3.11.2-6", fields={"Depends": "libc6"}),
    MadePackage("python3.13", fields={"Depends": "libc6"}),
    MadePackage("elfx86exts"),
)

WHEEL = MadeWheel(fields=["Requires-Python: >=3.9", "Requires-Dist: rich"])
NEWER = MadeWheel(name="newer", fields=["Requires-Python: >=3.12"])


def set_of(*names: str, **fields: str) -> str:
    head = "".join(f"{key} = {value}\n" for key, value in fields.items())
    packages = "".join(f'[[package]]\nname = "{name}"\nreason = "{name} is wanted"\n' for name in names)
    return f'purpose = "a purpose"\n{head}{packages}'


BESIDE = {
    "base": set_of("bash"),
    "more": set_of("locales", optional="true"),
    "only": set_of("elfx86exts", ships="false"),
}
"""Sets of a stack, by name."""


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
    network = made.network()
    for wheel in (WHEEL, NEWER):
        network.pages.update(wheel.pages())
    archive = Archive((ADDRESS,), PackageMirror(directory / "mirror", network), key.keyring)
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


def test_a_layer_without_a_release_is_told_where_to_name_one(tmp_path: Path, archive_key: MadeKey) -> None:
    with pytest.raises(InvalidValue, match=r"\Athe layer names no release of Debian\Z") as raised:
        planned(tmp_path, archive_key, layer="standard_sets = false\n", base=set_of("bash"))
    for words in ("layer.toml", "--release", "bookworm", "trixie"):
        assert words in raised.value.hint


def test_a_lock_of_other_sets_is_told_by_what_differs(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, packages=PACKAGES, family="x86_64", **BESIDE)
    own = read_description(tmp_path / "compat")
    require_fit(plan.lock, own, plan.family, (), "layer.json")
    with_more = msgspec.structs.replace(plan.lock, sets=(*plan.lock.sets, "more"))
    with pytest.raises(InvalidValue, match="lacks the package locales"):
        require_fit(with_more, own, plan.family, (), "layer.json")
    for asked, changed, problem in (
        (["more"], {}, "it lacks the set more, lacks the package locales"),
        ([], {"base": set_of("bash", "dpkg", "python3.11")}, "it lacks the packages dpkg, python3.11"),
        ([], {"wheels": f'purpose = "a purpose"\n{WHEEL.described()}'}, f"lacks the wheel {WHEEL.file}"),
        ([], {"base": set_of("bash", "elfx86exts")}, "it lacks the package elfx86exts"),
    ):
        other = described(tmp_path / problem.replace(" ", "-"), **{**BESIDE, **changed})
        with pytest.raises(InvalidValue, match=rf"\Athe lock layer.json is of other sets: .*{problem}") as raised:
            require_fit(plan.lock, other, plan.family, asked, "layer.json")
        assert "--stack" in raised.value.hint
    undeclared = described(tmp_path / "undeclared", base=set_of("bash"))
    with pytest.raises(InvalidValue, match="has the undeclared set only"):
        require_fit(plan.lock, undeclared, plan.family, (), "layer.json")


def test_families_differ_in_what_ships(tmp_path: Path, archive_key: MadeKey) -> None:
    packages = (
        MadePackage("bash", "5.2-1", architecture="amd64"),
        MadePackage("bash", "5.2-1+b1", architecture="arm64"),
        MadePackage("zsh", architecture="all"),
        MadePackage("locales", architecture="amd64"),
    )
    sets = {"base": set_of("bash", "zsh"), "x86": set_of("locales", ships="false", families='["x86_64"]')}
    plans = [
        planned(tmp_path / family, archive_key, family=family, packages=packages, **sets)
        for family in ("x86_64", "aarch64")
    ]
    assert family_differences(plans) == (FamilyDifference("bash", {"x86_64": "5.2-1", "aarch64": "5.2-1+b1"}),)
    assert family_differences(plans[:1]) == ()


def test_the_plan_of_a_record_has_every_reason(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, base=set_of("bash"), only=set_of("locales", ships="false"))
    description = read_description(tmp_path / "compat")
    assert plan_text(description, plan.lock, plan.family).decode().splitlines()[:2] == [
        "bash 1.0-1: bash is wanted",
        "libc-l10n 1.0-1 (only while building): needed by locales",
    ]
    without = replace(description, sets=())
    assert b"bash 1.0-1: named by a set that is not declared" in plan_text(without, plan.lock, plan.family)


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


# ---- Wheels ----


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip knows one index."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)


@pytest.mark.usefixtures("index")
def test_a_plan_names_every_wheel_and_what_it_needs(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, python=set_of("python3.11") + WHEEL.described())
    (wheel,) = plan.lock.wheels
    assert (wheel.name, wheel.version, wheel.file, wheel.sha256) == ("thing", "1.0", WHEEL.file, WHEEL.sha256)
    assert (wheel.size, wheel.python, wheel.needs) == (len(WHEEL.data), ">=3.9", ("rich",))
    assert plan.reason(wheel) == "thing is wanted"


@pytest.mark.usefixtures("index")
def test_a_planned_wheel_is_in_the_mirror(tmp_path: Path, archive_key: MadeKey) -> None:
    plan = planned(tmp_path, archive_key, python=set_of("python3.11") + WHEEL.described())
    without_packages = msgspec.structs.replace(plan.lock, packages=())
    files = fetch_packages(without_packages, PackageMirror(tmp_path / "mirror"), ())
    assert files[WHEEL.file].read_bytes() == WHEEL.data
    with pytest.raises(NotFound, match=r"the wheel thing 1\.0"):
        fetch_packages(without_packages, PackageMirror(tmp_path / "empty"), ())


@pytest.mark.usefixtures("index")
def test_a_wheel_that_the_python_of_the_layer_is_too_old_for_is_refused(tmp_path: Path, archive_key: MadeKey) -> None:
    with pytest.raises(InvalidValue, match=r"is for Python >=3\.12, and the layer has 3\.11\.2"):
        planned(tmp_path, archive_key, a=set_of("python3.11") + NEWER.described())
    with pytest.raises(InvalidValue, match="the sets bring no Python"):
        planned(tmp_path / "without", archive_key, a=set_of("bash") + WHEEL.described())
