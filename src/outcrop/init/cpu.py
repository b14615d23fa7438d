"""What the text of `/proc/cpuinfo` says of a processor, in the two ways that the rules read it.

The shell's counterpart is `templates/archdetect.bash`; a test holds the two to the same answers.

*Compat* is archdetect's reading. The last line of a kind counts, and a feature is a word between two single spaces:
`POWER9,` is not `POWER9`, and `rv64gc_zba` is one word.

*Fixed* reads what the line means. A feature counts where every core of the machine has it; lines are split at any
white space; a RISC-V string of extensions is taken apart into letters and names; a POWER generation contains the
older ones; the part number of an Arm core becomes the word `part:NUMBER`.

Lines as `lscpu` writes them (`Vendor ID`, `Flags`) are understood too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

from outcrop.init.target import Family

WHITE_SPACE = " \t\n\v\f\r"
"""What the C locale calls white space."""

OLDEST_POWER_GENERATION = 8
"""The first POWER generation that runs little-endian Linux."""

_POWER = re.compile(r"POWER([0-9]{1,2})")
_RISCV_G = "imafd"
"""What the letter `g` of a RISC-V ISA string stands for, besides zicsr and zifencei."""


class Mode(StrEnum):
    """How a processor is judged: by our corrected rules, or exactly as EESSI's archdetect does."""

    FIXED = "fixed"
    COMPAT = "compat"


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor as the rules see it. `features` are words separated by single spaces."""

    family: Family
    vendor: str
    features: str

    def has(self, feature: str) -> bool:
        return f" {feature} " in f" {self.features} "


def read_cpu(cpuinfo: str, family: Family, mode: Mode) -> Cpu:
    """The processor that `cpuinfo` describes. A line that is missing leaves the vendor or the features empty."""
    values = _values_by_key(cpuinfo)
    vendor = next((values[key][-1] for key in _VENDOR_KEYS if _last(values, key)), "")
    if mode is Mode.COMPAT:
        return Cpu(family, vendor, _last(values, _compat_feature_key(family, vendor)))
    return Cpu(family, vendor.rstrip(WHITE_SPACE), " ".join(sorted(_shared_words(values, family))))


_VENDOR_KEYS = ("vendor_id", "cpu implementer", "mvendorid")
_ALIASES = {"vendor id": "vendor_id", "cpu_implementer": "cpu implementer"}


def _values_by_key(cpuinfo: str) -> dict[str, list[str]]:
    """Every value, in the order of the lines, by its key in lower case and one spelling."""
    values: dict[str, list[str]] = defaultdict(list)
    for line in cpuinfo.split("\n"):
        name, colon, value = line.partition(":")
        key = name.rstrip(WHITE_SPACE).lower()
        if colon:
            values[_ALIASES.get(key, key)].append(value.lstrip(WHITE_SPACE))
    return values


def _last(values: dict[str, list[str]], key: str) -> str:
    return values[key][-1] if values.get(key) else ""


def _compat_feature_key(family: Family, vendor: str) -> str:
    if vendor == "ARM":
        return "flags"
    return {Family.AARCH64: "features", Family.PPC64LE: "cpu", Family.RISCV64: "isa"}.get(family, "flags")


def _shared_words(values: dict[str, list[str]], family: Family) -> frozenset[str]:
    """The words that every core has."""
    match family:
        case Family.X86_64:
            return _in_all(_words(flags) for flags in values.get("flags", ()))
        case Family.AARCH64:
            features = values.get("features") or values.get("flags") or ()
            parts = _in_all(frozenset(f"part:{word}" for word in _words(part)) for part in values.get("cpu part", ()))
            return _in_all(_words(line) for line in features) | parts
        case Family.RISCV64:
            return _in_all(_riscv_extensions(isa) for isa in values.get("isa", ()))
        case Family.PPC64LE:
            return _in_all(_power_generations(cpu) for cpu in values.get("cpu", ()))


def _in_all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    every = list(sets)
    return reduce(frozenset.intersection, every) if every else frozenset()


def _words(line: str) -> frozenset[str]:
    return frozenset(re.split(f"[{WHITE_SPACE}]+", line)) - {""}


def _riscv_extensions(isa: str) -> frozenset[str]:
    """`rv64imac_zba_zbb` as the words i, m, a, c, zba, zbb; nothing for anything but a 64-bit string."""
    base, *names = re.split(f"[{WHITE_SPACE}]", isa, maxsplit=1)[0].lower().split("_")
    if not base.startswith("rv64"):
        return frozenset()
    letters = set(base.removeprefix("rv64"))
    if "g" in letters:
        letters |= {*_RISCV_G}
        names += ["zicsr", "zifencei"]
    return frozenset(letters) | frozenset(names) - {""}


def _power_generations(cpu: str) -> frozenset[str]:
    """`POWER10 (architected)` as the words power8, power9, power10."""
    match = _POWER.match(cpu)
    newest = int(match[1]) if match else 0
    return frozenset(f"power{generation}" for generation in range(OLDEST_POWER_GENERATION, newest + 1))
