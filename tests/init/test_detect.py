"""Which targets fit a processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.errors import InvalidValue
from outcrop.init.cpu import Mode
from outcrop.init.detect import detect
from outcrop.init.machine import read_machine

from . import machines


def recorded_machines(root: Path) -> list[tuple[Path, str]]:
    """Every recorded machine with its machine type."""
    return [(path, path.relative_to(root).parts[0]) for path in sorted(root.rglob("*.cpuinfo"))]


@pytest.mark.parametrize("mode", list(Mode))
def test_recorded_machines_get_the_targets_that_eessi_expects(recorded: Path, mode: Mode) -> None:
    cases = recorded_machines(recorded)
    assert cases
    for path, machine_type in cases:
        machine = read_machine(path, machine_type)
        found = detect(machine.cpuinfo, machine.machine_type, mode)
        assert found.best.path == path.with_suffix(".output").read_text().strip(), path
        assert found.options == path.with_suffix(".all.output").read_text().strip(), path


@pytest.mark.parametrize(
    ("machine_type", "cpuinfo", "fixed", "compat"),
    [
        ("x86_64", machines.ZEN1, "x86_64/generic", "x86_64/amd/zen2"),
        ("x86_64", machines.ZEN2, "x86_64/amd/zen2", "x86_64/amd/zen2"),
        ("x86_64", machines.HYGON, "x86_64/generic", "x86_64/generic"),
        ("x86_64", machines.HASWELL_WITHOUT_BMI2, "x86_64/generic", "x86_64/intel/haswell"),
        ("ppc64le", machines.POWER8, "ppc64le/generic", "ppc64le/generic"),
        ("ppc64le", machines.POWER9_VIRTUAL, "ppc64le/power9le", "ppc64le/power9le"),
        ("ppc64le", machines.POWER9_BARE_METAL, "ppc64le/power9le", "ppc64le/generic"),
        ("ppc64le", machines.POWER10, "ppc64le/power9le", "ppc64le/generic"),
        ("aarch64", machines.ALTRA, "aarch64/neoverse_n1", "aarch64/neoverse_n1"),
        ("aarch64", machines.AMPERE_ONE, "aarch64/neoverse_n1", "aarch64/neoverse_n1"),
        ("aarch64", machines.APPLE_WITHOUT_DOT_PRODUCT, "aarch64/generic", "aarch64/generic"),
        ("aarch64", machines.UNFINISHED_N1, "aarch64/generic", "aarch64/neoverse_n1"),
        ("aarch64", machines.GRACE, "aarch64/nvidia/grace", "aarch64/nvidia/grace"),
        ("aarch64", machines.AXION, "aarch64/google/axion", "aarch64/google/axion"),
        ("aarch64", machines.A64FX, "aarch64/a64fx", "aarch64/a64fx"),
        ("aarch64", machines.OTHER_FUJITSU, "aarch64/generic", "aarch64/a64fx"),
        ("aarch64", machines.BIG_LITTLE, "aarch64/neoverse_n1", "aarch64/neoverse_n1"),
        ("riscv64", machines.P550, "riscv64/sifive/p550", "riscv64/sifive/p550"),
        ("riscv64", machines.P550_NEWER_KERNEL, "riscv64/sifive/p550", "riscv64/generic"),
        ("riscv64", machines.X60, "riscv64/spacemit/x60", "riscv64/generic"),
        ("x86_64", "", "x86_64/generic", "x86_64/generic"),
    ],
)
def test_known_faults_of_archdetect_are_corrected_and_kept_on_request(
    machine_type: str, cpuinfo: str, fixed: str, compat: str
) -> None:
    assert detect(cpuinfo, machine_type).best.path == fixed
    assert detect(cpuinfo, machine_type, Mode.COMPAT).best.path == compat


def test_a_mixed_machine_gets_what_every_core_runs_whichever_core_is_listed_last() -> None:
    grace_last = machines.ALTRA + machines.GRACE
    assert detect(grace_last, "aarch64").best.path == "aarch64/neoverse_n1"
    assert detect(grace_last, "aarch64", Mode.COMPAT).best.path == "aarch64/nvidia/grace"


def test_targets_come_best_first_and_end_in_generic() -> None:
    assert detect(machines.AXION, "aarch64").options == (
        "aarch64/google/axion:aarch64/nvidia/grace:aarch64/neoverse_v1:aarch64/neoverse_n1:aarch64/generic"
    )


def test_the_explanation_names_the_features_that_the_next_better_target_needs() -> None:
    found = detect(machines.ZEN1, "x86_64")
    assert found.next_better is not None
    assert found.next_better.target.path == "x86_64/amd/zen2"
    assert found.next_better.missing == ("clwb",)
    assert found.explanation() == (
        "x86_64/generic fits: every x86_64 processor runs it.",
        "x86_64/amd/zen2 does not fit: the processor lacks clwb.",
    )


def test_the_explanation_names_a_vendor_without_targets() -> None:
    assert (
        "No target of this family is for the vendor 'HygonGenuine'." in detect(machines.HYGON, "x86_64").explanation()
    )


def test_the_best_target_of_all_has_no_better_one() -> None:
    assert detect(machines.AXION, "aarch64").next_better is None


def test_archdetect_gives_up_where_features_are_not_told() -> None:
    with pytest.raises(InvalidValue, match="names the vendor 'GenuineIntel' but no features"):
        detect("vendor_id : GenuineIntel\n", "x86_64", Mode.COMPAT)
    assert detect("vendor_id : GenuineIntel\n", "x86_64").best.is_generic


def test_an_unknown_machine_type_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'s390x' has no targets"):
        detect("", "s390x")
