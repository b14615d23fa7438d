"""Where the code and the data of an ELF file point to, to see whether one string is the end of another.

Linkers keep equal ends of strings once: with `/cvmfs/repository` and `repository` in a program, the second points into
the first, and would become a row of slashes with it. Nothing in the file says so but the instruction, or the pointer,
that leads there. Found are

- x86-64: `lea` relative to the instruction, and constants moved into registers where addresses are fixed;
- aarch64: `adrp` with an `add` that follows soon;
- 64 bits, any processor: addends of relocations, and pointers in data that can be written to.

32-bit files and other processors are not searched for instructions.

Sources: Intel 64 manual, volume 2, LEA and MOV; Arm A64 instruction set, ADRP and ADD; System V ABI, relocation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from outcrop.client.relocate.elf import Elf, Segment
from outcrop.client.relocate.places import Data

Addresses = NDArray[np.int64]

_X86_64, _AARCH64 = 62, 183
_CHUNK_BYTES = 16 * 1024 * 1024
_OVERLAP_BYTES = 64
"""More than the longest sequence of instructions that is looked for."""
_ADRP_ADD_DISTANCE = 8
"""Compilers put few instructions between the two."""
_RELA_WORDS = 3


class Pointers:
    """The addresses to which `data`, the file that `elf` describes, points; looked for on the first question."""

    def __init__(self, data: Data, elf: Elf) -> None:
        self._data = data
        self._elf = elf
        self._targets: Addresses | None = None

    def any_into(self, offset: int, length: int) -> bool:
        """Whether something points between the first and the last of the `length` bytes at `offset` of the file."""
        address = self._elf.address(offset)
        if address is None or self._elf.bits != 64:
            return False
        if self._targets is None:
            self._targets = np.sort(np.concatenate([np.empty(0, np.int64), *self._found()]))
        first = int(np.searchsorted(self._targets, address + 1))
        return first < len(self._targets) and int(self._targets[first]) < address + length

    def _found(self) -> Iterator[Addresses]:
        order = "<" if self._elf.little_endian else ">"
        if self._elf.relocations is not None:
            words = self._words(self._elf.relocations, order)
            yield words[: len(words) // _RELA_WORDS * _RELA_WORDS].reshape(-1, _RELA_WORDS)[:, 2]
        for segment in self._elf.loaded:
            if segment.writable:
                yield self._words(segment, order)
            if segment.executable:
                yield from self._code(segment)

    def _words(self, segment: Segment, order: str) -> Addresses:
        """The 64-bit words of a part of the file that stand where pointers stand."""
        offset = segment.offset + -segment.address % 8
        count = max(0, min(segment.offset + segment.size, len(self._data)) - offset) // 8
        return np.frombuffer(self._data[offset : offset + 8 * count], order + "i8").astype(np.int64)

    def _code(self, segment: Segment) -> Iterator[Addresses]:
        readers = {_X86_64: self._x86_64, _AARCH64: _aarch64}
        reader = readers.get(self._elf.machine)
        if reader is None:
            return
        for start in range(0, segment.size, _CHUNK_BYTES):
            begin = segment.offset + start
            end = min(begin + _CHUNK_BYTES + _OVERLAP_BYTES, segment.offset + segment.size)
            yield reader(self._data[begin:end], segment.address + start)

    def _x86_64(self, code: bytes, address: int) -> Addresses:
        padded = np.frombuffer(code + bytes(8), np.uint8)
        size = len(code)
        opcode, modrm = padded[:size], padded[1 : size + 1]
        # lea r, [rip + disp32]: mod is 0 and r/m is 5.
        leas = np.flatnonzero((opcode == 0x8D) & ((modrm & 0xC7) == 0x05))
        targets = leas + 6 + address + _int32(padded, leas + 2)
        if not self._elf.fixed:
            return targets
        moves = np.flatnonzero((opcode & 0xF8) == 0xB8)
        return np.concatenate([targets, _int32(padded, moves + 1)])


def _int32(data: NDArray[np.uint8], offsets: Addresses) -> Addresses:
    value = np.zeros(len(offsets), np.uint32)
    for number in range(4):
        value |= data[offsets + number].astype(np.uint32) << np.uint32(8 * number)
    return value.view(np.int32).astype(np.int64)


def _aarch64(code: bytes, address: int) -> Addresses:
    words = np.frombuffer(code[: len(code) // 4 * 4], "<u4").astype(np.int64)
    is_adrp = (words & 0x9F000000) == 0x90000000
    pages = ((words >> 5) & 0x7FFFF) << 2 | ((words >> 29) & 3)
    pages = np.where(pages & (1 << 20), pages - (1 << 21), pages) << 12
    pages += (address + 4 * np.arange(len(words))) & ~0xFFF
    is_add = (words & 0xFF800000) == 0x91000000
    added = ((words >> 10) & 0xFFF) << np.where(words & 0x400000, 12, 0)
    found = []
    for distance in range(1, min(_ADRP_ADD_DISTANCE, len(words) - 1) + 1):
        same_register = (words[:-distance] & 31) == ((words[distance:] >> 5) & 31)
        pairs = np.flatnonzero(is_adrp[:-distance] & is_add[distance:] & same_register)
        found.append(pages[pairs] + added[pairs + distance])
    return np.concatenate([np.empty(0, np.int64), *found])
