"""The paths compiled into an ELF file, re-pointed to longer ones in a new segment.

A string cannot grow where it is. So what refers to it is made to refer to a longer copy. That is exact where the
reference is the whole of it; it is not where the program knows the string's length (`memcmp(path, "/usr/", 5)`), has it
inside an instruction, or takes it as part of something bigger. A length in an argument beside the reference is mended;
the others are told, since only a trace of the program shows whether they matter.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field

from outcrop.compat.relocate import aarch64, riscv64
from outcrop.compat.relocate.elf_image import (
    ET_EXEC,
    PF_X,
    PT_INTERP,
    PT_LOAD,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_STRTAB,
    ElfImage,
    Section,
)
from outcrop.compat.relocate.path_rules import QUICK, PathRules
from outcrop.compat.relocate.string_references import AARCH64, RISCV64, X86_64, references

MAXIMUM_STRING_BYTES = 64 * 1024
"""Longer ones are data, not text; the linker's scripts inside `ld` have 15 kB."""

_TEXT = re.compile(rb"[\t\n\v\f\r\x1b -\x7e\x80-\xff]*")
_NUMBERS = re.compile(rb"[\xb8-\xbf](?=....)", re.DOTALL)
_LENGTH = struct.Struct("<I")
_WINDOW = 32
"""Bytes before and behind a reference in which its length is looked for, as a number that is put into a register."""
_SHORTEST_LENGTH = 5
"""Below that, a number beside a reference is more likely to be something else than the string's length."""


@dataclass(slots=True)
class StringChanges:
    """What became of a file's paths. `moved`: old to new text; `lengths`: those whose length was mended too,
    once for each place; `left`: those that nothing refers to in a way that is known, or something in one that cannot be
    changed; `inlined`: those inside instructions."""

    moved: dict[bytes, bytes] = field(default_factory=dict)
    lengths: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    inlined: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A string that has a path of the layer in it: where it is in memory, and how far its last path is from there."""

    start: int
    last_path: int


def re_point(image: ElfImage, rules: PathRules, kept: Collection[bytes] = ()) -> StringChanges:
    """Makes `image` use the layer's paths, but for the texts `kept`; what could be moved and what not."""
    changes = StringChanges()
    candidates = _candidates(image, rules, changes)
    if not candidates:
        return changes
    by_address = {
        address: candidate
        for candidate in candidates
        for address in range(candidate.start, candidate.last_path + 1)
    }  # fmt: skip
    exact = {candidate.start for candidate in candidates} if image.kind == ET_EXEC else by_address
    used: set[int] = set()
    refused: set[int] = set()
    for reference in references(image, exact):
        old = image.string(image.offset(reference.target))
        new = rules.moved(old)
        if new == old or old in kept:
            continue
        start = by_address[reference.target].start
        if not reference.redirect(image.place_string(new)):
            refused.add(start)
            continue
        used.add(start)
        changes.moved[old] = new
        if _mend_length(image, reference.offset, old, new):
            changes.lengths.append(old)
    for candidate in candidates:
        if candidate.start not in used or candidate.start in refused:
            changes.left.append(image.string(image.offset(candidate.start)))
    return changes


def _candidates(image: ElfImage, rules: PathRules, changes: StringChanges) -> list[_Candidate]:
    found: dict[int, _Candidate] = {}
    skipped = _tables(image)
    for segment in image.segments:
        if segment.kind != PT_LOAD:
            continue
        data = bytes(image.data[segment.offset : segment.offset + segment.size])
        for match in QUICK.finditer(data):
            section = _section_start(image, segment.offset + match.start()) - segment.offset
            begin = max(data.rfind(b"\0", 0, match.start()) + 1, section)
            end = data.find(b"\0", match.end())
            if end < 0 or end - begin > MAXIMUM_STRING_BYTES or not _TEXT.fullmatch(data, begin, end):
                # Not a text from zero to zero: the text may begin behind other data, or inside an instruction.
                begin = max(begin, match.start() - _printable_before(data, begin, match.start()))
                end = end if end >= 0 else len(data)
            address = segment.address + begin
            if any(low <= segment.offset + begin < high for low, high in skipped):
                continue
            text = data[begin:end]
            if rules.moved(text) == text:
                continue
            if segment.flags & PF_X and not _is_read_only_data(image, segment.offset + begin):
                changes.inlined.append(text[:80])
                continue
            last = segment.address + match.start()
            before = found.get(address)
            found[address] = _Candidate(address, max(last, before.last_path if before else last))
    return list(found.values())


def _printable_before(data: bytes, begin: int, place: int) -> int:
    count = 0
    while place - count > begin and _TEXT.fullmatch(data, place - count - 1, place - count):
        count += 1
    return count


def _tables(image: ElfImage) -> list[tuple[int, int]]:
    """The parts of the file that the loader reads, and no instruction: names of symbols, libraries and versions."""
    tables = []
    for section in image.sections:
        if section.kind in (SHT_STRTAB, SHT_DYNSYM, SHT_NOTE) and section.flags & SHF_ALLOC:
            tables.append((section.offset, section.offset + section.size))
    interpreter = image.segment(PT_INTERP)
    if interpreter:
        tables.append((interpreter.offset, interpreter.offset + interpreter.size))
    return tables


def _sections_at(image: ElfImage, offset: int) -> list[Section]:
    """The sections in memory that the byte at `offset` of the file is in: one, or none where they were taken away."""
    return [
        section
        for section in image.sections
        if section.flags & SHF_ALLOC
        and section.kind != SHT_NOBITS
        and section.offset <= offset < section.offset + section.size
    ]


def _section_start(image: ElfImage, offset: int) -> int:
    """Where the section begins that the byte at `offset` is in: no text begins before. 0 where there is none."""
    return max((section.offset for section in _sections_at(image, offset)), default=0)


def _is_read_only_data(image: ElfImage, offset: int) -> bool:
    """Whether the byte at `offset` is in a section without instructions, although its segment has some."""
    return any(not section.flags & SHF_EXECINSTR for section in _sections_at(image, offset))


def _mend_length(image: ElfImage, offset: int, old: bytes, new: bytes) -> bool:
    """Where an argument beside the reference at `offset` is the length of `old`, makes it that of `new`."""
    if len(old) < _SHORTEST_LENGTH or not _is_code(image, offset):
        return False
    return _MEND_LENGTH[image.machine](image, offset, old, new)


def _mend_length_x86_64(image: ElfImage, offset: int, old: bytes, new: bytes) -> bool:
    mended = False
    low = max(0, offset - _WINDOW)
    window = bytes(image.data[low : offset + 4 + _WINDOW])
    for match in _NUMBERS.finditer(window):
        place = low + match.end()
        (value,) = _LENGTH.unpack_from(image.data, place)
        if value in (len(old), len(old) + 1) and not offset - 3 <= place < offset + 4:
            _LENGTH.pack_into(image.data, place, value - len(old) + len(new))
            mended = True
    return mended


_MEND_LENGTH = {X86_64: _mend_length_x86_64, AARCH64: aarch64.mend_length, RISCV64: riscv64.mend_length}


def _is_code(image: ElfImage, offset: int) -> bool:
    return any(
        segment.kind == PT_LOAD and segment.flags & PF_X and segment.offset <= offset < segment.offset + segment.size
        for segment in image.segments
    )
