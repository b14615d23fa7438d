"""The few instructions for aarch64 that made-up loaders have: encoded, and run.

Source: Arm Architecture Reference Manual for A-profile, C6 "A64 Base Instruction Descriptions"; tried against binutils.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from outcrop.compat.relocate.elf_image import ElfImage
from tests.compat.relocate.made_loader import STEPS, Ran

RET, NOP = 0xD65F03C0, 0xD503201F
_LOAD_INDEXED, _LOAD_NEXT, _LOAD_BYTE = 0xF8607800, 0xF8408C00, 0x39400000
_EQUAL, _UNEQUAL = 0, 1


def adrp(register: int, place: int, address: int) -> int:
    pages = (address >> 12) - (place >> 12)
    return 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | register


def add(register: int, base: int, number: int) -> int:
    assert 0 <= number < 4096
    return 0x91000000 | number << 10 | base << 5 | register


def low(register: int, base: int, address: int) -> int:
    return add(register, base, address & 0xFFF)


def add_registers(register: int, first: int, second: int) -> int:
    return 0x8B000000 | second << 16 | first << 5 | register


def number(register: int, value: int) -> int:
    """`mov register, #value`."""
    return 0xD2800000 | value << 5 | register


def copy(register: int, source: int) -> int:
    return 0xAA0003E0 | source << 16 | register


def store(register: int, base: int, offset: int = 0) -> int:
    """`str register, [base, #offset]`."""
    return 0xF9000000 | offset // 8 << 10 | base << 5 | register


def store_pair(first: int, second: int, base: int, offset: int) -> int:
    """`stp first, second, [base, #offset]`."""
    return 0xA9000000 | offset // 8 << 15 | second << 10 | base << 5 | first


def load_pair(first: int, second: int, base: int) -> int:
    """`ldp first, second, [base]`."""
    return 0xA9400000 | second << 10 | base << 5 | first


def load_indexed(register: int, base: int, index: int) -> int:
    """`ldr register, [base, index, lsl #3]`."""
    return _LOAD_INDEXED | index << 16 | base << 5 | register


def load_next(register: int, base: int) -> int:
    """`ldr register, [base, #8]!`."""
    return _LOAD_NEXT | base << 5 | register


def load_byte(register: int, base: int) -> int:
    """`ldrb register, [base]`."""
    return _LOAD_BYTE | base << 5 | register


def compare(first: int, second: int) -> int:
    return 0xEB00001F | second << 16 | first << 5


def compare_number(register: int, value: int) -> int:
    return 0xF100001F | value << 10 | register << 5


def unless_equal(distance: int) -> int:
    """`b.ne`, so many instructions on."""
    return 0x54000000 | (distance & 0x7FFFF) << 5 | _UNEQUAL


def if_equal(distance: int) -> int:
    return 0x54000000 | (distance & 0x7FFFF) << 5 | _EQUAL


def jump(distance: int) -> int:
    return 0x14000000 | distance & 0x3FFFFFF


def call(distance: int) -> int:
    return 0x94000000 | distance & 0x3FFFFFF


def run(image: ElfImage, place: int, given: Mapping[int, int]) -> Ran:
    """What the function at the address `place` does with the registers `given`. Functions that it calls do nothing."""
    registers = [given.get(register, 0) for register in range(32)]
    ran, equal = Ran(image), False
    for _ in range(STEPS):
        (word,) = struct.unpack("<I", image.in_memory(place, 4))
        first, base, second = word & 31, word >> 5 & 31, word >> 16 & 31
        after = place + 4
        if word == RET:
            return ran
        if word & 0x1F000000 == 0x10000000:  # adr, adrp
            distance = _signed((word >> 29 & 3) | (word >> 5 & 0x7FFFF) << 2, 21)
            registers[first] = (place & -4096) + 4096 * distance if word >> 31 else place + distance
        elif word & 0xFFC00000 == 0x91000000:
            registers[first] = registers[base] + (word >> 10 & 0xFFF)
        elif word & 0xFFE0FC00 == 0x8B000000:
            registers[first] = registers[base] + registers[second]
        elif word & 0xFFE00000 == 0xD2800000:
            registers[first] = word >> 5 & 0xFFFF
        elif word & 0xFFE0FFE0 == 0xAA0003E0:
            registers[first] = registers[second]
        elif word & 0xFFC00000 == 0xF9000000:
            ran.stored[registers[base] + 8 * (word >> 10 & 0xFFF)] = registers[first]
        elif word & 0xFFC00000 == 0xA9000000:
            target = registers[base] + 8 * _signed(word >> 15, 7)
            ran.stored |= {target: registers[first], target + 8: registers[word >> 10 & 31]}
        elif word & 0xFFE0FC00 == _LOAD_INDEXED:
            registers[first] = ran.load(registers[base] + 8 * registers[second])
        elif word & 0xFFFFFC00 == _LOAD_NEXT:
            registers[base] += 8
            registers[first] = ran.load(registers[base])
        elif word & 0xFFFFFC00 == _LOAD_BYTE:
            registers[first] = ran.load(registers[base], 1)
        elif word & 0xFFE0FC1F == 0xEB00001F:
            equal = registers[base] == registers[second]
        elif word & 0xFFC0001F == 0xF100001F:
            equal = registers[base] == word >> 10 & 0xFFF
        elif word & 0xFF00000E == 0x54000000:
            if equal == (word & 15 == _EQUAL):
                after = place + 4 * _signed(word >> 5, 19)
        elif word >> 26 == 0x25:
            ran.calls.append((registers[0], registers[1], registers[2]))
        else:
            assert word == NOP, f"{word:#x} at {place:#x}"
        place = after
    raise AssertionError("it does not end")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
