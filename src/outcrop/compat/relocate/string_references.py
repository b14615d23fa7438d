"""What in an ELF file refers to an address: instructions and relocated pointers, and how to make them refer elsewhere.

Compilers for position-independent code form the address of a constant string in one way on each processor:

- x86_64: `lea register, [rip + displacement]`, with a displacement of 32 bits.
- aarch64: `adrp register, page` and then `add register, register, #rest` somewhere behind it (`aarch64`).
- riscv64: `auipc register, upper` and then `addi register, register, lower` behind it (`riscv64`).

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
from collections.abc import Collection, Iterator

from outcrop.compat.relocate import aarch64, riscv64
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
from outcrop.compat.relocate.reference import Reference

X86_64, AARCH64, RISCV64 = 62, 183, 243

_RELATIVE = {X86_64: 8, AARCH64: 1027, RISCV64: 3}
_RELA = struct.Struct("<QQq")
_WORD = struct.Struct("<Q")
_WORD_BITS = 64


def references(image: ElfImage, wanted: Collection[int]) -> Iterator[Reference]:
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


def _relocated(image: ElfImage, wanted: Collection[int]) -> Iterator[Reference]:
    for table, size in zip(image.dynamic_values(DT_RELA), image.dynamic_values(DT_RELASZ), strict=True):
        start = image.offset(table)
        if start + size > len(image.data):
            refuse("the relocations", "lie outside of the file")
        for index, (_, info, addend) in enumerate(_RELA.iter_unpack(image.data[start : start + size])):
            if info == _RELATIVE[image.machine] and addend in wanted:
                yield _word(image, start + index * _RELA.size + 16, addend)


def _packed(image: ElfImage, wanted: Collection[int]) -> Iterator[Reference]:
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
                if value in wanted:
                    yield _word(image, offset, value)


def _plain_words(image: ElfImage, segment: Segment, wanted: Collection[int]) -> Iterator[Reference]:
    start = segment.offset + -segment.address % _WORD.size
    end = segment.offset + segment.size
    end -= (end - start) % _WORD.size
    for index, (value,) in enumerate(_WORD.iter_unpack(image.data[start:end])):
        if value in wanted:
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


def _x86_64(image: ElfImage, segment: Segment, wanted: Collection[int]) -> Iterator[Reference]:
    code = bytes(image.data[segment.offset : segment.offset + segment.size])
    for match in _LEA.finditer(code):
        place = match.end()
        if place + _DISPLACEMENT.size > len(code):
            return
        after = segment.address + place + _DISPLACEMENT.size
        target = after + _DISPLACEMENT.unpack_from(code, place)[0]
        if target in wanted:
            yield _displacement(image, segment.offset + place, target, after)
    if image.kind == ET_EXEC:
        for match in _IMMEDIATE.finditer(code):
            if match.end() + _DISPLACEMENT.size <= len(code):
                target = _DISPLACEMENT.unpack_from(code, match.end())[0]
                if target in wanted:
                    yield _displacement(image, segment.offset + match.end(), target, 0)


def _displacement(image: ElfImage, offset: int, target: int, base: int) -> Reference:
    def redirect(address: int) -> bool:
        if not -(1 << 31) <= address - base < 1 << 31:
            return False
        _DISPLACEMENT.pack_into(image.data, offset, address - base)
        return True

    return Reference(offset, target, redirect)


_INSTRUCTIONS = {X86_64: _x86_64, AARCH64: aarch64.references_in_code, RISCV64: riscv64.references_in_code}
