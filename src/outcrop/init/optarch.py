"""The compiler flags that build for a target, as EasyBuild's `--optarch` takes them.

The flags come from archspec's table of processors, which knows the first version of GCC for each. Where a compiler is
older than the processor, the nearest older processor's flags build code that runs there too.
"""

from __future__ import annotations

from collections.abc import Mapping

import archspec.cpu

from outcrop.init.target import Family, Target

EASYBUILD_GENERIC = "GENERIC"
"""EasyBuild's own word for flags that suit every processor of the family."""

NEWEST_GCC = "99"
"""Asks archspec for what the newest compiler that it knows can do."""

_ARCHSPEC_NAMES: Mapping[Target, str] = {
    Target(Family.AARCH64, "grace", "nvidia"): "neoverse_v2",
    Target(Family.AARCH64, "axion", "google"): "neoverse_v2",
    # archspec has none of these; code for every 64-bit RISC-V processor with a Linux distribution runs on them.
    Target(Family.RISCV64, "p550", "sifive"): "riscv64",
    Target(Family.RISCV64, "x60", "spacemit"): "riscv64",
    Target(Family.RISCV64, "x60-k6.6", "spacemit"): "riscv64",
}


def archspec_name(target: Target) -> str:
    """The name that archspec gives the processors of `target`."""
    if target.is_generic:
        return target.family.value
    return _ARCHSPEC_NAMES.get(target, target.name)


def optarch(target: Target, gcc: str = NEWEST_GCC) -> str:
    """The value of `--optarch` that makes GCC of version `gcc` build for `target`: flags, or `GENERIC`.

    A target that archspec does not know is built as generic, which always runs.
    """
    if target.is_generic:
        return EASYBUILD_GENERIC
    processor = archspec.cpu.TARGETS.get(archspec_name(target))
    if processor is None:
        return EASYBUILD_GENERIC
    for candidate in (processor, *processor.ancestors):
        try:
            flags: str = candidate.optimization_flags("gcc", gcc)
        except archspec.cpu.UnsupportedMicroarchitecture:
            continue
        if flags:
            return flags
    return EASYBUILD_GENERIC
