"""The families of processors that a layer is built for, each with what Debian, the linker and QEMU call it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from outcrop.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `name` is the directory below `compat/linux`; `debian` Debian's name of the architecture; `triplet`
    the directory of its libraries; `loader` where the loader is by the ABI; `machine` the number in an ELF header;
    `oldest` what QEMU calls a processor that has the family's baseline and as little more as possible."""

    name: str
    debian: str
    triplet: str
    loader: str
    machine: int
    qemu: str
    oldest: str


FAMILIES = (
    Family(
        "x86_64",
        "amd64",
        "x86_64-linux-gnu",
        "/lib64/ld-linux-x86-64.so.2",
        62,
        "qemu-x86_64",
        "qemu64,-sse3,-cx16,-lahf-lm",
    ),
    Family("aarch64", "arm64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1", 183, "qemu-aarch64", "cortex-a53"),
    Family(
        "riscv64",
        "riscv64",
        "riscv64-linux-gnu",
        "/lib/ld-linux-riscv64-lp64d.so.1",
        243,
        "qemu-riscv64",
        "sifive-u54",
    ),
)


def family_named(name: str) -> Family:
    """The family `name`; InvalidValue for one that there is not."""
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise InvalidValue(what=f"the family {name!r}", problem="is not known", hint=f"choose one of {known}")


def this_family() -> Family:
    """This machine's family."""
    return family_named(platform.machine())
