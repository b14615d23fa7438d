"""Which instructions of riscv64 code are beyond the baseline, RV64GC: integers, multiplication, atomics, floating point
of 32 and 64 bits, and short instructions.

The baseline is small: all that is not in it is beyond. An instruction has 2 bytes, or 4 where the two lowest bits are
set; so after each half word that is not of that kind an instruction begins, and from there on every second half word of
that kind is a beginning. Hints (`pause`, `prefetch`, `ntl`) are instructions of the baseline that do nothing.

Source: The RISC-V Instruction Set Manual, volume I, chapters on RV64G and "C", and the "Instruction Set Listings".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcrop.compat.verify.instruction import Place, Scanned

_Words = NDArray[Any]
_Flags = NDArray[Any]

_LOAD, _LOAD_FP, _MISC_MEM, _OP_IMM, _AUIPC, _OP_IMM_32 = 0x03, 0x07, 0x0F, 0x13, 0x17, 0x1B
_STORE, _STORE_FP, _AMO, _OP, _LUI, _OP_32 = 0x23, 0x27, 0x2F, 0x33, 0x37, 0x3B
_MADD, _MSUB, _NMSUB, _NMADD, _OP_FP, _OP_V = 0x43, 0x47, 0x4B, 0x4F, 0x53, 0x57
_BRANCH, _JALR, _JAL, _SYSTEM, _OP_VE = 0x63, 0x67, 0x6F, 0x73, 0x77

_VECTOR_WIDTHS = (0, 5, 6, 7)
_VECTOR_REGISTERS = range(0xC20, 0xC23)
_CODE_END = 0x0000
"""Illegal by definition, which fills gaps."""


def scan(code: bytes) -> Scanned:
    """What `code` has that is beyond the baseline. There is no instruction by which a program asks for extensions: it
    asks the kernel."""
    _, words = _instructions(code)
    return Scanned(frozenset(_extension(int(word)) for word in np.unique(words[_beyond(words)])))


def places(code: bytes, address: int, wanted: Collection[str]) -> dict[str, Place]:
    """Where the extensions `wanted` are in `code`, which is at `address` in memory."""
    starts, words = _instructions(code)
    found: dict[str, Place] = {}
    for number in np.flatnonzero(_beyond(words)):
        word = int(words[number])
        extension = _extension(word)
        if extension in wanted:
            first = found.get(extension) or Place(address + 2 * int(starts[number]), f"{word:#x}", 0)
            found[extension] = Place(first.address, first.instruction, first.number + 1)
    return found


def _instructions(code: bytes) -> tuple[NDArray[np.intp], _Words]:
    """Where instructions begin, in half words, and the instructions."""
    halves = np.frombuffer(code, "<u2", len(code) // 2).astype(np.uint32)
    if not len(halves):
        return np.empty(0, np.intp), halves
    long = halves & 3 == 3
    numbers = np.arange(len(halves))
    last_short = np.maximum.accumulate(np.where(long, -1, numbers))
    before = np.concatenate(([-1], last_short[:-1]))
    starts = np.flatnonzero((numbers - before) % 2 == 1)
    following = np.append(halves[1:], np.uint32(0))
    return starts, np.where(long, halves | following << 16, halves)[starts]


def _beyond(words: _Words) -> _Flags:
    long = words & 3 == 3
    known: _Flags = np.where(long, _known(words), _known_short(words)) | (words == _CODE_END)
    beyond: _Flags = ~known
    return beyond


def _is_one_of(field: _Words, values: Collection[int]) -> _Flags:
    table = np.zeros(int(max(values)) + 1, bool)
    table[list(values)] = True
    found: _Flags = table[np.minimum(field, len(table) - 1)] & (field < len(table))
    return found


def _known(words: _Words) -> _Flags:
    """Which of the long `words` are in the baseline."""
    opcode, kind, seven = words & 0x7F, words >> 12 & 7, words >> 25
    known: _Flags = _is_one_of(opcode, (_AUIPC, _LUI, _JAL))
    known |= (opcode == _LOAD) & (kind != 7) | (opcode == _STORE) & (kind < 4)
    known |= _is_one_of(opcode, (_LOAD_FP, _STORE_FP)) & _is_one_of(kind, (2, 3))
    known |= (opcode == _BRANCH) & ~_is_one_of(kind, (2, 3)) | (opcode == _JALR) & (kind == 0)
    known |= (opcode == _MISC_MEM) & (kind < 2)
    shifts = (kind == 1) & (seven >> 1 == 0) | (kind == 5) & _is_one_of(seven >> 1, (0, 0x10))
    known |= (opcode == _OP_IMM) & (~_is_one_of(kind, (1, 5)) | shifts)
    shifts_32 = (kind == 1) & (seven == 0) | (kind == 5) & _is_one_of(seven, (0, 0x20))
    known |= (opcode == _OP_IMM_32) & ((kind == 0) | shifts_32)
    arithmetic = (seven < 2) | (seven == 0x20) & _is_one_of(kind, (0, 5))
    known |= (opcode == _OP) & arithmetic
    known |= (opcode == _OP_32) & arithmetic & ~((seven == 0) & _is_one_of(kind, (2, 3, 4, 6, 7))) & ~(
        (seven == 1) & _is_one_of(kind, (1, 2, 3))
    )  # fmt: skip
    known |= (opcode == _AMO) & _is_one_of(kind, (2, 3)) & _is_one_of(
        words >> 27, (0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28)
    )  # fmt: skip
    known |= _is_one_of(opcode, (_MADD, _MSUB, _NMSUB, _NMADD)) & (seven & 3 < 2)
    known |= (opcode == _OP_FP) & _known_floating(words) | (opcode == _SYSTEM) & _known_system(words)
    return known


def _known_floating(words: _Words) -> _Flags:
    kind, second, five, size = words >> 12 & 7, words >> 20 & 31, words >> 27, words >> 25 & 3
    known: _Flags = (five < 4) | (five == 11) & (second == 0) | (five == 4) & (kind < 3) | (five == 5) & (kind < 2)
    known |= (five == 8) & (second < 2) & (second != size) | (five == 20) & (kind < 3)
    known |= _is_one_of(five, (24, 26)) & (second < 4)
    known |= (five == 28) & (second == 0) & (kind < 2) | (five == 30) & (second == 0) & (kind == 0)
    known &= size < 2
    return known


def _known_system(words: _Words) -> _Flags:
    kind, register = words >> 12 & 7, words >> 20
    vector = _is_one_of(register, (8, 9, 10, 15, *_VECTOR_REGISTERS))
    known: _Flags = np.where(kind == 0, words >> 7 & 0x1F == 0, (kind != 4) & ~vector)
    return known


def _known_short(words: _Words) -> _Flags:
    """Which of the short `words` are in the baseline. In the quadrant 0 one kind is left for other extensions (4); in
    the quadrant 1 two instructions beside `c.subw` and `c.addw`, and `c.lui` of nothing."""
    quadrant, kind = words & 3, words >> 13
    reserved = (quadrant == 0) & (kind == 4)
    reserved |= (quadrant == 1) & (kind == 4) & (words >> 10 & 7 == 7) & (words >> 6 & 1 == 1)
    nothing: _Flags = (words >> 12 & 1 == 0) & (words >> 2 & 31 == 0)
    reserved |= (quadrant == 1) & (kind == 3) & nothing
    known: _Flags = np.invert(reserved)
    return known


def _extension(word: int) -> str:
    """What an instruction beyond the baseline is likely to be of."""
    opcode, kind, seven = word & 0x7F, word >> 12 & 7, word >> 25
    if word & 3 != 3:
        return "zcb or zcmop"
    if opcode == _OP_V or (opcode in (_LOAD_FP, _STORE_FP) and kind in _VECTOR_WIDTHS):
        return "v"
    if opcode == _SYSTEM and word >> 20 in (8, 9, 10, 15, *_VECTOR_REGISTERS):
        return "v"
    if opcode == _OP_VE:
        return "zvk"
    if opcode in (_OP, _OP_32) and seven == 7:
        return "zicond"
    if opcode in (_OP, _OP_IMM, _OP_32, _OP_IMM_32):
        return "zb"
    if opcode in (_LOAD_FP, _STORE_FP, _OP_FP, _MADD, _MSUB, _NMSUB, _NMADD):
        return "zfh or zfa"
    if opcode == _AMO:
        return "zacas or zabha"
    return "zicbom" if opcode == _MISC_MEM else "unknown"
