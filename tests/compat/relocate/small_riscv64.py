"""The few instructions for riscv64 that made-up loaders have: encoded, and run.

Source: RISC-V unprivileged ISA, "RV64I" and the "C" extension; tried against binutils.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from outcrop.compat.relocate.elf_image import ElfImage
from tests.compat.relocate.made_loader import STEPS, Ran

RA, SP, S1, A0, A1, A2, A3, A4, A5, A6 = 1, 2, 9, 10, 11, 12, 13, 14, 15, 16
S2, S3, S4, S5, S6, S7, S8, S9, S10, S11 = range(18, 28)
RET, NOP = b"\x82\x80", b"\x01\x00"
"""Both of two bytes."""


def auipc(register: int, distance: int) -> bytes:
    """`auipc register, …`, for a following instruction that adds the lowest twelve bits of `distance`."""
    return _word(distance + 0x800 & 0xFFFFF000 | register << 7 | 0x17)


def add(register: int, base: int, number: int) -> bytes:
    """`addi register, base, number`."""
    return _word((number & 0xFFF) << 20 | base << 15 | register << 7 | 0x13)


def pair_to(register: int, place: int, target: int) -> bytes:
    """`auipc` at `place` and `addi`: `lla register, target`."""
    return auipc(register, target - place) + add(register, register, target - place)


def store(register: int, base: int, offset: int) -> bytes:
    """`sd register, offset(base)`."""
    upper, lower = (offset >> 5 & 0x7F) << 25, (offset & 31) << 7
    return _word(upper | register << 20 | base << 15 | 3 << 12 | lower | 0x23)


def store_at(register: int, scratch: int, place: int, target: int) -> bytes:
    """`auipc` at `place` and `sd`: `sd register, target, scratch`."""
    return auipc(scratch, target - place) + store(register, scratch, target - place)


def load(register: int, base: int, offset: int) -> bytes:
    """`ld register, offset(base)`."""
    return _word((offset & 0xFFF) << 20 | base << 15 | 3 << 12 | register << 7 | 3)


def load_byte(register: int, base: int) -> bytes:
    """`lbu register, 0(base)`."""
    return _word(base << 15 | 4 << 12 | register << 7 | 3)


def add_registers(register: int, first: int, second: int) -> bytes:
    return _word(second << 20 | first << 15 | register << 7 | 0x33)


def unless_equal(first: int, second: int, distance: int) -> bytes:
    """`bne first, second, . + distance`."""
    upper = (distance >> 12 & 1) << 31 | (distance >> 5 & 0x3F) << 25
    lower = (distance >> 1 & 15) << 8 | (distance >> 11 & 1) << 7
    return _word(upper | second << 20 | first << 15 | 1 << 12 | lower | 0x63)


def call(distance: int) -> bytes:
    """`jal ra, . + distance`."""
    upper = (distance >> 20 & 1) << 31 | (distance >> 1 & 0x3FF) << 21
    return _word(upper | (distance >> 11 & 1) << 20 | (distance >> 12 & 0xFF) << 12 | RA << 7 | 0x6F)


def number(register: int, value: int) -> bytes:
    """`c.li register, value`."""
    return _half(0x4001 | (value >> 5 & 1) << 12 | register << 7 | (value & 31) << 2)


def count(register: int, value: int) -> bytes:
    """`c.addi register, value`."""
    return _half(0x0001 | (value >> 5 & 1) << 12 | register << 7 | (value & 31) << 2)


def copy(register: int, source: int) -> bytes:
    """`c.mv register, source`."""
    return _half(0x8002 | register << 7 | source << 2)


def add_to(register: int, other: int) -> bytes:
    """`c.add register, other`."""
    return _half(0x9002 | register << 7 | other << 2)


def _word(word: int) -> bytes:
    return struct.pack("<I", word)


def _half(half: int) -> bytes:
    return struct.pack("<H", half)


def run(image: ElfImage, place: int, given: Mapping[int, int]) -> Ran:
    """What the function at the address `place` does with the registers `given`. Functions that it calls do nothing."""
    registers = [given.get(register, 0) for register in range(32)]
    ran = Ran(image)
    for _ in range(STEPS):
        (word,) = struct.unpack("<I", image.in_memory(place, 4))
        if word & 0xFFFF == 0x8082:
            return ran
        after = place + (4 if word & 3 == 3 else 2)
        if word & 3 == 3:
            after = _run_word(word, place, registers, ran, after)
        else:
            _run_half(word & 0xFFFF, place, registers)
        registers[0] = 0
        place = after
    raise AssertionError("it does not end")


def _run_word(word: int, place: int, registers: list[int], ran: Ran, after: int) -> int:
    """Does as the instruction `word` says, and gives where control goes on."""
    first, base, second = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    operation, kind = word & 0x7F, word >> 12 & 7
    if operation == 0x17:
        registers[first] = place + _signed(word & 0xFFFFF000, 32)
    elif (operation, kind) == (0x13, 0):
        registers[first] = registers[base] + _signed(word >> 20, 12)
    elif word & 0xFE00707F == 0x33:
        registers[first] = registers[base] + registers[second]
    elif (operation, kind) == (0x23, 3):
        ran.stored[registers[base] + _signed(word >> 25 << 5 | first, 12)] = registers[second]
    elif (operation, kind) in ((0x03, 3), (0x03, 4)):
        registers[first] = ran.load(registers[base] + _signed(word >> 20, 12), 8 if kind == 3 else 1)
    elif (operation, kind) == (0x63, 1):
        if registers[base] != registers[second]:
            upper = (word >> 31) << 12 | (word >> 7 & 1) << 11
            return place + _signed(upper | (word >> 25 & 0x3F) << 5 | (word >> 8 & 15) << 1, 13)
    elif operation == 0x6F and first == 0:
        upper = (word >> 31) << 20 | (word >> 12 & 0xFF) << 12
        return place + _signed(upper | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1, 21)
    elif operation == 0x6F and first == RA:
        ran.calls.append((registers[A0], registers[A1], registers[A2]))
    else:
        raise AssertionError(f"{word:#x} at {place:#x}")
    return after


def _run_half(half: int, place: int, registers: list[int]) -> None:
    first, second = half >> 7 & 31, half >> 2 & 31
    value = _signed((half >> 12 & 1) << 5 | second, 6)
    if half & 0xE003 == 0x0001:
        registers[first] += value
    elif half & 0xE003 == 0x4001:
        registers[first] = value
    elif half & 0xE003 == 0x6001 and first != SP:
        registers[first] = value << 12
    elif half & 0xF003 == 0x8002 and second:
        registers[first] = registers[second]
    elif half & 0xF003 == 0x9002 and second:
        registers[first] += registers[second]
    else:
        raise AssertionError(f"{half:#x} at {place:#x}")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
