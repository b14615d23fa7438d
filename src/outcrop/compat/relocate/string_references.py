"""What in an ELF file refers to an address: instructions and relocated pointers, and how to make them refer elsewhere.

Compilers for position-independent code form the address of a constant string in one way on each processor:

- x86_64: `lea register, [rip + displacement]`, with a displacement of 32 bits.
- aarch64: `adrp register, page` and then `add register, register, #rest` somewhere behind it.
- riscv64: `auipc register, upper` and then `addi register, register, lower` behind it.

In data an address is a word that the loader relocates (R_*_RELATIVE): its value is in the table of relocations, or, for
those that are packed (DT_RELR), in the word itself. A program for a fixed address has it as an immediate operand
(`mov register, address`) or as a plain word, too.

An instruction found in bytes that are none, or a word that only looks like an address, would have to hold the exact
address of a string by chance.

Sources: Intel SDM volume 2, "LEA", "MOV"; Arm Architecture Reference Manual, "ADRP", "ADD (immediate)"; RISC-V
unprivileged ISA, "AUIPC", "ADDI"; System V ABI, processor supplements.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from outcrop.compat.relocate.elf_image import (
    DT_RELA,
    DT_RELASZ,
    DT_RELR,
    DT_RELRSZ,
    ET_EXEC,
    PF_X,
    PT_LOAD,
    ElfImage,
    Segment,
    refuse,
)

X86_64, AARCH64, RISCV64 = 62, 183, 243

_RELATIVE = {X86_64: 8, AARCH64: 1027, RISCV64: 3}
_RELA = struct.Struct("<QQq")
_WORD = struct.Struct("<Q")
_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """A place that holds the address `target`. `offset`: where in the file it is; `redirect` makes it hold another
    address, and says whether that was possible."""

    offset: int
    target: int
    redirect: Callable[[int], bool]


def references(image: ElfImage, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    """Every reference in `image` to an address that is `wanted`."""
    yield from _relocated(image, wanted)
    yield from _packed(image, wanted)
    for segment in image.segments:
        if segment.kind != PT_LOAD:
            continue
        if segment.flags & PF_X:
            yield from _INSTRUCTIONS[image.machine](image, segment, wanted)
        if image.kind == ET_EXEC:
            yield from _plain_words(image, segment, wanted)


def _relocated(image: ElfImage, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    for table, size in zip(image.dynamic_values(DT_RELA), image.dynamic_values(DT_RELASZ), strict=True):
        start = image.offset(table)
        if start + size > len(image.data):
            refuse("the relocations", "lie outside of the file")
        for index, (_, info, addend) in enumerate(_RELA.iter_unpack(image.data[start : start + size])):
            if info == _RELATIVE[image.machine] and wanted(addend):
                yield _word(image, start + index * _RELA.size + 16, addend)


def _packed(image: ElfImage, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    for table, size in zip(image.dynamic_values(DT_RELR), image.dynamic_values(DT_RELRSZ), strict=True):
        start, where = image.offset(table), 0
        for (entry,) in _WORD.iter_unpack(image.data[start : start + size]):
            if not entry & 1:
                addresses = [entry]
                where = entry + _WORD.size
            else:
                addresses = [where + _WORD.size * bit for bit in range(_WORD_BITS - 1) if entry >> (bit + 1) & 1]
                where += _WORD.size * (_WORD_BITS - 1)
            for address in addresses:
                offset = image.offset(address)
                (value,) = _WORD.unpack_from(image.data, offset)
                if wanted(value):
                    yield _word(image, offset, value)


def _plain_words(image: ElfImage, segment: Segment, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    start = segment.offset + -segment.address % _WORD.size
    end = segment.offset + segment.size
    end -= (end - start) % _WORD.size
    for index, (value,) in enumerate(_WORD.iter_unpack(image.data[start:end])):
        if wanted(value):
            yield _word(image, start + index * _WORD.size, value)


def _word(image: ElfImage, offset: int, value: int) -> Reference:
    def redirect(address: int) -> bool:
        _WORD.pack_into(image.data, offset, address)
        return True

    return Reference(offset, value, redirect)


# --- x86_64 ------------------------------------------------------------------------------------------------------

_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_IMMEDIATE = re.compile(
    rb"[\xb8-\xbf]|\x68|\xc7(?:[\xc0-\xc7]|[\x00-\x03\x06\x07]|\x04.|\x05....|[\x40-\x43\x45-\x47].|\x44..|"
    rb"[\x80-\x83\x85-\x87]....|\x84.....)",
    re.DOTALL,
)
"""`mov register, number`, `push number` and `mov [anywhere], number`, up to the number."""
_DISPLACEMENT = struct.Struct("<i")


def _x86_64(image: ElfImage, segment: Segment, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    code = bytes(image.data[segment.offset : segment.offset + segment.size])
    for match in _LEA.finditer(code):
        place = match.end()
        if place + _DISPLACEMENT.size > len(code):
            return
        after = segment.address + place + _DISPLACEMENT.size
        target = after + _DISPLACEMENT.unpack_from(code, place)[0]
        if wanted(target):
            yield _displacement(image, segment.offset + place, target, after)
    if image.kind == ET_EXEC:
        for match in _IMMEDIATE.finditer(code):
            if match.end() + _DISPLACEMENT.size <= len(code):
                target = _DISPLACEMENT.unpack_from(code, match.end())[0]
                if wanted(target):
                    yield _displacement(image, segment.offset + match.end(), target, 0)


def _displacement(image: ElfImage, offset: int, target: int, base: int) -> Reference:
    def redirect(address: int) -> bool:
        if not -(1 << 31) <= address - base < 1 << 31:
            return False
        _DISPLACEMENT.pack_into(image.data, offset, address - base)
        return True

    return Reference(offset, target, redirect)


# --- aarch64 -----------------------------------------------------------------------------------------------------

_INSTRUCTION = struct.Struct("<I")
_PAGE = 4096
_ADRP_BYTE = re.compile(rb"[\x90\xb0\xd0\xf0]")
_REACH = 64
"""How many instructions behind an `adrp` its `add` is looked for: compilers move them apart, but not far."""


def _aarch64(image: ElfImage, segment: Segment, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    code = bytes(image.data[segment.offset : segment.offset + segment.size])
    words = memoryview(code[: len(code) - len(code) % 4]).cast("I")
    for match in _ADRP_BYTE.finditer(code):
        if match.start() % 4 != 3:
            continue
        index = match.start() // 4
        if index >= len(words):
            return
        register, page = _adrp(words[index], segment.address + index * 4)
        yield from _uses_of_page(image, segment, words, index, register, page, wanted)


def _adrp(word: int, address: int) -> tuple[int, int]:
    """The register that an `adrp` at `address` sets, and the page it is set to."""
    pages = (word >> 29 & 3) | (word >> 5 & 0x7FFFF) << 2
    if pages >> 20:
        pages -= 1 << 21
    return word & 31, (address & -_PAGE) + pages * _PAGE


def _uses_of_page(
    image: ElfImage,
    segment: Segment,
    words: memoryview,
    index: int,
    register: int,
    page: int,
    wanted: Callable[[int], bool],
) -> Iterator[Reference]:
    for later in range(index + 1, min(index + _REACH, len(words))):
        word = words[later]
        if word & 0xFFC00000 == 0x91000000 and word >> 5 & 31 == register:  # add (immediate), 64 bits, no shift
            target = page + (word >> 10 & 0xFFF)
            if wanted(target):
                yield _page_pair(image, segment, index, later, target)
            if word & 31 == register:
                return
        elif word & 0x9F00001F == 0x90000000 | register:  # the next adrp to this register
            return


def _page_pair(image: ElfImage, segment: Segment, first: int, second: int, target: int) -> Reference:
    """An `adrp` at instruction `first` and its `add` at `second`. Others may use the same `adrp`: it moves to another
    page once, and all its `add`s with it."""
    adrp_offset, add_offset = segment.offset + first * 4, segment.offset + second * 4
    original = _INSTRUCTION.unpack_from(image.data, adrp_offset)[0]

    def redirect(address: int) -> bool:
        pages = (address >> 12) - (segment.address + first * 4 >> 12)
        if not -(1 << 20) <= pages < 1 << 20:
            return False
        moved = original & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
        if _INSTRUCTION.unpack_from(image.data, adrp_offset)[0] not in (original, moved):
            return False
        add = _INSTRUCTION.unpack_from(image.data, add_offset)[0] & ~(0xFFF << 10) | (address & 0xFFF) << 10
        _INSTRUCTION.pack_into(image.data, adrp_offset, moved)
        _INSTRUCTION.pack_into(image.data, add_offset, add)
        return True

    return Reference(add_offset, target, redirect)


# --- riscv64 -----------------------------------------------------------------------------------------------------

_AUIPC, _ADDI = 0x17, 0x13


def _riscv64(image: ElfImage, segment: Segment, wanted: Callable[[int], bool]) -> Iterator[Reference]:
    code = bytes(image.data[segment.offset : segment.offset + segment.size])
    for place in range(0, len(code) - 7, 2):
        if code[place] & 0x7F != _AUIPC:
            continue
        (word,) = _INSTRUCTION.unpack_from(code, place)
        register = word >> 7 & 31
        upper = (word & 0xFFFFF000) - (1 << 32 if word >> 31 else 0)
        page = segment.address + place + upper
        for later in range(place + 4, min(place + 4 * _REACH, len(code) - 3), 2):
            (other,) = _INSTRUCTION.unpack_from(code, later)
            if other & 0x707F == _ADDI and other >> 15 & 31 == register:
                lower = other >> 20
                target = page + (lower - (1 << 12) if lower >> 11 else lower)
                if wanted(target):
                    yield _upper_pair(image, segment, place, later, target)
                break


def _upper_pair(image: ElfImage, segment: Segment, first: int, second: int, target: int) -> Reference:
    offsets = segment.offset + first, segment.offset + second
    original = _INSTRUCTION.unpack_from(image.data, offsets[0])[0]

    def redirect(address: int) -> bool:
        distance = address - (segment.address + first)
        lower = (distance & 0xFFF) - (0x1000 if distance & 0x800 else 0)
        upper = distance - lower
        if not -(1 << 31) <= upper < 1 << 31:
            return False
        moved = original & 0xFFF | upper & 0xFFFFF000
        if _INSTRUCTION.unpack_from(image.data, offsets[0])[0] not in (original, moved):
            return False
        add = _INSTRUCTION.unpack_from(image.data, offsets[1])[0] & 0xFFFFF | (lower & 0xFFF) << 20
        _INSTRUCTION.pack_into(image.data, offsets[0], moved)
        _INSTRUCTION.pack_into(image.data, offsets[1], add)
        return True

    return Reference(offsets[1], target, redirect)


_INSTRUCTIONS = {X86_64: _x86_64, AARCH64: _aarch64, RISCV64: _riscv64}
