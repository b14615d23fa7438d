"""No program needs a newer processor than its family's oldest: its code is looked at, instruction by instruction.

Where a file has instructions of an extension, it has to be known for choosing at run time (`choices.py`), and to have
in it what asks: the processor, or the loader and the kernel by one of their functions.
"""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, cast

from outcrop.compat.family import Family
from outcrop.compat.relocate.elf_image import ET_DYN, ET_EXEC, PF_X, SHF_EXECINSTR, SHT_NOBITS, SUPPORTED, ElfImage
from outcrop.compat.verify.choices import Choice, Kind
from outcrop.compat.verify.instruction import Place, Scanned
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import FormatError, storage_error

_ASKING = (b"_rtld_global_ro", b"getauxval", b"__cpu_model", b"__riscv_hwprobe", b"__x86_get_cpuid_feature_leaf")
"""Names by which a program asks the loader, the kernel or the compiler's library what the processor has."""

_ENTRY = slice(24, 32)
"""Where an ELF header says at which address the program begins."""

_DECODED, _DECODER = "x86_64", "iced_x86"
"""The family whose instructions only a package decodes, and its module."""

_TOLD = 3
"""How many extensions are told of one file."""


class _Baseline(Protocol):
    def scan(self, code: bytes) -> Scanned: ...
    def places(self, code: bytes, address: int, wanted: Iterable[str]) -> dict[str, Place]: ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What one file has beyond the baseline; `refused` says why it could not be read."""

    path: str
    extensions: frozenset[str] = frozenset()
    asks: bool = False
    refused: str = ""


def instructions(tree: Path, family: Family, choices: Sequence[Choice], workers: int) -> Checked:
    """Programs and libraries have instructions of the baseline of `family` only, but for `choices`. StorageError."""
    baseline = _baseline(family)
    try:
        paths = sorted(programs_of(tree, family), key=lambda path: -(tree / path).stat().st_size)
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            looked = list(pool.map(partial(look, tree, family), paths))
        findings: list[Finding] = []
        skipped: list[Finding] = []
        for one in looked:
            _judge(tree, baseline, one, choices, findings, skipped)
    except OSError as error:
        raise storage_error(error) from error
    return checked(len(paths), sorted(findings, key=lambda one: one.subject), skipped)


def lacks_decoder(family: Family) -> bool:
    """Whether this Python lacks what the instructions of `family` are looked at with."""
    return family.name == _DECODED and importlib.util.find_spec(_DECODER) is None


def programs_of(tree: Path, family: Family) -> Iterator[str]:
    """The paths below `tree` of ELF files with code for `family`, each file once."""
    seen: set[tuple[int, int]] = set()
    for directory, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            if not stat.S_ISREG(facts.st_mode) or (facts.st_dev, facts.st_ino) in seen:
                continue
            with open(path, "rb") as file:
                head = file.read(20)
            kind, machine = int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little")
            if head.startswith(SUPPORTED) and kind in (ET_EXEC, ET_DYN) and machine == family.machine:
                seen.add((facts.st_dev, facts.st_ino))
                yield os.path.relpath(path, tree)


def look(tree: Path, family: Family, path: str) -> Looked:
    """What the file `path` below `tree` has beyond the baseline of `family`."""
    baseline, data = _baseline(family), (tree / path).read_bytes()
    try:
        scanned = [baseline.scan(code) for _, code in code_of(data)]
    except FormatError as error:
        return Looked(path, refused=error.message)
    asks = any(one.asks for one in scanned) or any(name in data for name in _ASKING)
    return Looked(path, frozenset().union(*(one.extensions for one in scanned)), asks)


def code_of(data: bytes) -> list[tuple[int, bytes]]:
    """The code of an ELF file: addresses and bytes. Sections tell it from what else is in its segments; a file whose
    sections do not is taken by its segments. FormatError."""
    image = ElfImage(data)
    runs = [_Run(one.address, one.offset, one.size) for one in image.loaded if one.flags & PF_X]
    if sum(run.size for run in runs) > len(data):
        raise FormatError(what="an ELF file", field="its segments", problem="overlap")
    sections = [
        _Run(one.address, one.offset, one.size)
        for one in image.sections
        if one.flags & SHF_EXECINSTR and one.kind != SHT_NOBITS and one.size
    ]
    entry = int.from_bytes(data[_ENTRY], "little")
    trusted = (
        all(any(section.is_in(run) for run in runs) for section in sections)
        and sum(section.size for section in sections) <= len(data)
        and (not entry or any(section.holds(entry) for section in sections))
    )
    chosen = sections if sections and trusted else runs
    return [(one.address, data[one.offset : one.offset + one.size]) for one in chosen]


@dataclass(frozen=True, slots=True)
class _Run:
    address: int
    offset: int
    size: int

    def holds(self, address: int) -> bool:
        return self.address <= address < self.address + self.size

    def is_in(self, other: _Run) -> bool:
        start = self.address - other.address
        return 0 <= start <= other.size - self.size and start == self.offset - other.offset


def _judge(
    tree: Path,
    baseline: _Baseline,
    looked: Looked,
    choices: Sequence[Choice],
    findings: list[Finding],
    skipped: list[Finding],
) -> None:
    if looked.refused:
        findings.append(Finding(looked.path, f"cannot be looked at: {looked.refused}"))
        return
    known = [choice for choice in choices if choice.pattern.fullmatch(looked.path)]
    unknown = {one for one in looked.extensions if not any(choice.allows(one) for choice in known)}
    if unknown:
        findings.append(Finding(looked.path, _told(tree, baseline, looked.path, unknown)))
    elif looked.extensions and not looked.asks and any(choice.asks for choice in known):
        findings.append(
            Finding(looked.path, f"has {', '.join(sorted(looked.extensions))}, and nothing that asks the processor")
        )
    elif looked.extensions and any(choice.kind is Kind.HARDWARE for choice in known):
        needed = ", ".join(sorted(looked.extensions))
        skipped.append(Finding(looked.path, f"needs {needed}: {' '.join(choice.how for choice in known)}"))


def _told(tree: Path, baseline: _Baseline, path: str, unknown: set[str]) -> str:
    found: dict[str, Place] = {}
    for address, code in code_of((tree / path).read_bytes()):
        found = baseline.places(code, address, unknown) | found
    told = [
        f"{extension} ({place.number} times, first `{place.instruction}` at {place.address:#x})"
        for extension, place in sorted(found.items())[:_TOLD]
    ]
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"has instructions beyond the baseline: {', '.join(told)}{more}"


def _baseline(family: Family) -> _Baseline:
    return cast("_Baseline", importlib.import_module(f"outcrop.compat.verify.baseline_{family.name}"))
