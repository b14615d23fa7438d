"""Names of what software is built for."""

from __future__ import annotations

import pytest

from outcrop.errors import InvalidValue
from outcrop.init.rules import COMPAT_RULES, FIXED_RULES
from outcrop.init.target import Accelerator, Family, Target


@pytest.mark.parametrize("path", ["x86_64/generic", "x86_64/amd/zen3", "aarch64/neoverse_v1", "riscv64/sifive/p550"])
def test_a_path_parses_to_the_target_that_has_it(path: str) -> None:
    assert Target.parse(path).path == path


@pytest.mark.parametrize(
    "text",
    ["", "x86_64", "x86_64/", "/generic", "x86_64//zen3", "x86_64/amd/zen3/x", "x86_64/intel/generic", "x86_64/.."],
)
def test_a_path_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not of the form"):
        Target.parse(text)


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="'s390x' has no targets"):
        Target.parse("s390x/generic")


def test_every_family_has_a_generic_target_and_rules() -> None:
    for family in Family:
        assert Target.generic(family).path == f"{family}/generic"
        assert FIXED_RULES[family]
        assert COMPAT_RULES[family]


def test_both_tables_know_the_same_targets() -> None:
    for family in Family:
        assert {rule.target for rule in FIXED_RULES[family]} == {rule.target for rule in COMPAT_RULES[family]}


@pytest.mark.parametrize("path", ["accel/nvidia/cc80", "accel/nvidia/cc120", "accel/amd/gfx90a"])
def test_an_accelerator_path_parses_to_the_accelerator_that_has_it(path: str) -> None:
    assert Accelerator.parse(path).path == path


@pytest.mark.parametrize(
    "text", ["accel/nvidia/80", "nvidia/cc80", "accel/amd/cc80", "accel/intel/pvc", "accel/amd/gfx90A"]
)
def test_an_accelerator_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is neither"):
        Accelerator.parse(text)
