"""What software is built for and where it lies: processor families, CPU targets and accelerators.

The names are directory names below `versions/<V>/software/linux`: `x86_64/intel/icelake`, `aarch64/neoverse_v1`,
`riscv64/generic`, and below a CPU target `accel/nvidia/cc80` or `accel/amd/gfx90a`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from outcrop.errors import InvalidValue

GENERIC = "generic"
"""The name of the target that every processor of its family runs."""

_COMPONENT = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_ACCELERATOR = re.compile(r"accel/(?:(nvidia)/(cc[0-9]+)|(amd)/(gfx[0-9a-f]+))")


class Family(StrEnum):
    """A processor family, by the name that `uname -m` gives it on Linux."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    RISCV64 = "riscv64"
    PPC64LE = "ppc64le"

    @classmethod
    def parse(cls, text: str) -> Family:
        """The family called `text`. Raises `InvalidValue` for a machine type that no target is for."""
        try:
            return cls(text)
        except ValueError:
            raise InvalidValue(
                what=f"the machine type '{text}'",
                problem="has no targets",
                hint=f"machine types with targets: {', '.join(cls)}",
            ) from None


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of processor that software is built for. `vendor` is empty where the path has none."""

    family: Family
    name: str
    vendor: str = ""

    @property
    def path(self) -> str:
        """The directory below `software/linux`, such as `x86_64/amd/zen3`."""
        return "/".join(part for part in (self.family.value, self.vendor, self.name) if part)

    @property
    def is_generic(self) -> bool:
        return self.name == GENERIC

    @classmethod
    def generic(cls, family: Family) -> Target:
        """The target that every processor of `family` runs."""
        return cls(family, GENERIC)

    @classmethod
    def parse(cls, text: str) -> Target:
        """The target whose path is `text`. Raises `InvalidValue`; whether anything is built for it is not asked."""
        parts = text.split("/")
        well_formed = len(parts) in (2, 3) and all(_COMPONENT.fullmatch(part) for part in parts)
        if not well_formed or (len(parts) == 3 and parts[2] == GENERIC):
            raise InvalidValue(
                what=f"the target '{text}'",
                problem="is not of the form family/name or family/vendor/name",
                hint="for example x86_64/generic, x86_64/amd/zen3 or aarch64/neoverse_v1",
            )
        family = Family.parse(parts[0])
        return cls(family, parts[-1], parts[1] if len(parts) == 3 else "")

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A kind of GPU that software is built for: `nvidia` with `ccNN`, or `amd` with `gfxNNN`."""

    vendor: str
    name: str

    @property
    def path(self) -> str:
        """The directory below the CPU target's, such as `accel/nvidia/cc80`."""
        return f"accel/{self.vendor}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Accelerator:
        """The accelerator whose path is `text`. Raises `InvalidValue`."""
        match = _ACCELERATOR.fullmatch(text)
        if match is None:
            raise InvalidValue(
                what=f"the accelerator '{text}'",
                problem="is neither accel/nvidia/ccNN nor accel/amd/gfxNNN",
                hint="for example accel/nvidia/cc90 or accel/amd/gfx90a",
            )
        vendor, name = (part for part in match.groups() if part)
        return cls(vendor, name)

    def __str__(self) -> str:
        return self.path
