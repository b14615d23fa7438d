from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.family import FAMILIES, family_named
from outcrop.compat.gentoo.plan import GentooPlan, PlannedAtom, plan_prefix, sets_with_atoms, wanted_atoms
from outcrop.compat.package_sets import read_description, wanted_programs
from outcrop.errors import InvalidValue
from tests.compat.gentoo.test_settings import WHOLE, described

X86 = family_named("x86_64")
ARM = family_named("aarch64")


def set_of(*packages: tuple[str, str], head: str = "") -> str:
    text = f'purpose = "a purpose"\n{head}'
    for name, atom in packages:
        text += f'[[package]]\nname = "{name}"\nreason = "{name} is wanted"\ngentoo = "{atom}"\n'
    return text


def planned(directory: Path, *asked_for: str, layer: str = WHOLE, **sets: str) -> GentooPlan:
    for name, text in sets.items():
        (directory / f"{name}.toml").write_text(text)
    return plan_prefix(described(directory, layer), X86, asked_for)


def test_sets_become_atoms_with_reasons(tmp_path: Path) -> None:
    plan = planned(tmp_path, base=set_of(("zlib", "sys-libs/zlib"), ("bash", "app-shells/bash")))
    assert plan.atoms == (
        PlannedAtom("app-shells/bash", ("bash",), "bash is wanted", ships=True),
        PlannedAtom("sys-libs/zlib", ("zlib",), "zlib is wanted", ships=True),
    )
    assert plan.lock.release == "gentoo-20260615"
    assert plan.lock.sets == ("base",)


def test_what_is_a_wheel_for_debian_is_an_atom_like_all_others(tmp_path: Path) -> None:
    wheel = '[[wheel]]\nname = "thing"\nversion = "1"\nfile = "thing-1-py3-none-any.whl"\nreason = "wanted"\n'
    wheel += f'sha256 = "{"0" * 64}"\n'
    plan = planned(
        tmp_path, base=set_of(("zlib", "sys-libs/zlib")) + wheel + 'gentoo = "dev-python/thing"\nprograms = ["thing"]\n'
    )
    assert [one.atom for one in plan.atoms] == ["dev-python/thing", "sys-libs/zlib"]
    assert wanted_atoms(plan.sets, X86) == ("dev-python/thing", "sys-libs/zlib")
    without = set_of(("zlib", "sys-libs/zlib")) + wheel + 'programs = ["thing"]\n'
    plan = planned(tmp_path, base=without)
    assert plan.without_atom == ("thing",)
    assert wanted_programs(sets_with_atoms(plan.sets), X86, "") == {}


def test_packages_that_gentoo_has_as_one_are_one_atom(tmp_path: Path) -> None:
    plan = planned(tmp_path, base=set_of(("ncurses-base", "sys-libs/ncurses"), ("ncurses-bin", "sys-libs/ncurses")))
    assert [(one.atom, one.packages) for one in plan.atoms] == [("sys-libs/ncurses", ("ncurses-base", "ncurses-bin"))]


def test_packages_without_an_atom_are_told(tmp_path: Path) -> None:
    plan = planned(tmp_path, base=set_of(("bash", "app-shells/bash"), ("libnss-myhostname", "")))
    assert plan.without_atom == ("libnss-myhostname",)


def test_what_only_the_builder_needs_does_not_ship(tmp_path: Path) -> None:
    only = set_of(("cmake", "dev-build/cmake"), ("bash-again", "app-shells/bash"), head="ships = false\n")
    plan = planned(tmp_path, base=set_of(("bash", "app-shells/bash")), a=only)
    assert [(one.atom, one.ships) for one in plan.atoms] == [("app-shells/bash", True), ("dev-build/cmake", False)]
    assert plan.atoms[0].reason == "bash is wanted"
    assert [one.atom for one in plan.shipped] == ["app-shells/bash"]


def test_sets_for_one_release_of_debian_are_not_for_gentoo(tmp_path: Path) -> None:
    only = set_of(("fish", "app-shells/fish"), head='releases = ["bookworm"]\n')
    plan = planned(
        tmp_path, base=set_of(("bash", "app-shells/bash")), only=only, layer='release = "bookworm"\n' + WHOLE
    )
    assert [one.atom for one in plan.atoms] == ["app-shells/bash"]


def test_sets_without_any_atom_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="the sets name no package of Gentoo"):
        planned(tmp_path, base=set_of(("bash", "")))


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="the set fun is not declared"):
        planned(tmp_path, "fun", base=set_of(("bash", "app-shells/bash")))


def test_the_same_declarations_give_the_same_lock_wherever_things_come_from(tmp_path: Path) -> None:
    one = planned(tmp_path, base=set_of(("bash", "app-shells/bash")))
    elsewhere = WHOLE.replace("https://", "https://other.").replace("ssh://", "ssh://other.")
    assert planned(tmp_path, base=set_of(("bash", "app-shells/bash")), layer=elsewhere).lock == one.lock


@pytest.mark.parametrize(
    ("old", "new"), [("-gcrypt", "gcrypt"), ('MAKEOPTS = "-j4"', 'CFLAGS = "-O3"'), ('"-X", ', "")]
)
def test_a_changed_setting_changes_the_lock(tmp_path: Path, old: str, new: str) -> None:
    one = planned(tmp_path, base=set_of(("bash", "app-shells/bash")))
    other = planned(tmp_path, base=set_of(("bash", "app-shells/bash")), layer=WHOLE.replace(old, new))
    assert other.lock.settings != one.lock.settings


def test_the_standard_sets_differ_between_families_only_where_they_say_so(tmp_path: Path) -> None:
    description = described(tmp_path, WHOLE, standard_sets=True)
    plans = {family: plan_prefix(description, family, ()) for family in FAMILIES}
    atoms = {family: {one.atom for one in plan.atoms} for family, plan in plans.items()}
    assert atoms[X86] - atoms[ARM] == {"sys-fabric/opa-psm2"}
    assert atoms[ARM] < atoms[X86]
    assert {"app-shells/bash", "sys-cluster/lmod", "sys-auth/sssd"} <= atoms[ARM]
    assert plans[X86].without_atom == ("libnss-myhostname",)
    assert {one.name for one in plans[X86].sets} <= {one.name for one in read_description().sets}
