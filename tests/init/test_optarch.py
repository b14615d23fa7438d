"""The compiler flags for a target."""

from __future__ import annotations

import pytest

from outcrop.init.optarch import EASYBUILD_GENERIC, archspec_name, optarch
from outcrop.init.rules import FIXED_RULES
from outcrop.init.target import Family, Target


@pytest.mark.parametrize(
    ("path", "flag"),
    [
        ("x86_64/intel/cascadelake", "-march=cascadelake"),
        ("x86_64/amd/zen4", "-march=znver4"),
        ("aarch64/neoverse_v1", "-mcpu=neoverse-v1"),
        ("aarch64/nvidia/grace", "-mcpu=neoverse-v2"),
        ("ppc64le/power9le", "-mcpu=power9"),
        ("riscv64/sifive/p550", "-march=rv64gc"),
    ],
)
def test_a_target_is_built_with_the_flags_of_its_processor(path: str, flag: str) -> None:
    assert flag in optarch(Target.parse(path)).split()


@pytest.mark.parametrize("family", list(Family))
def test_generic_is_left_to_easybuild(family: Family) -> None:
    assert optarch(Target.generic(family)) == EASYBUILD_GENERIC


def test_an_older_compiler_builds_for_the_nearest_older_processor() -> None:
    assert "-march=znver4" in optarch(Target.parse("x86_64/amd/zen5"), gcc="13.3.0").split()


def test_an_unknown_target_is_built_as_generic() -> None:
    assert optarch(Target.parse("x86_64/intel/future")) == EASYBUILD_GENERIC


def test_every_target_has_flags_and_a_name_in_archspec() -> None:
    for rules in FIXED_RULES.values():
        for rule in rules:
            assert archspec_name(rule.target)
            assert optarch(rule.target).startswith("-m"), rule.target
