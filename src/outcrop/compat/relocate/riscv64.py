"""References to strings in machine code for riscv64, and how to make them refer elsewhere.

An address takes two instructions, `auipc` and `addi`, which compilers for RISC-V keep together: the second one's number
counts from the place of the first. What is not so (GCC moves them apart at times) is left, and told so.

A text's length may be beside it in an instruction of two bytes, which has no room for a longer one's. Then the text is
put where `auipc` alone leads to, as far behind the beginning of a page as it is itself; and `addi` sets the length.

Sources: RISC-V unprivileged ISA, "AUIPC", "ADDI", "C" extension; RISC-V ELF psABI, "PC-Relative Symbol Addresses".
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

import numpy as np

from outcrop.compat.relocate.elf_image import PAGE, ElfImage, Segment, refuse
from outcrop.compat.relocate.reference import Reference

_PAIR = struct.Struct("<II")
_WORD = struct.Struct("<I")
_HALF = struct.Struct("<H")
_AUIPC, _ADDI = 0x17, 0x13
NOP = 0x13
_SHORT_NOP = 0x0001
_SHORTEST_LENGTH, _LARGEST_SHORT = 5, 31
"""Lengths that are looked for in instructions of two bytes: below, a number is more likely to be something else, and
above there is no such instruction."""
_LENGTH_REACH = 16
"""How many bytes before and behind a reference its length is looked for."""
_USE_REACH = 64
"""How many bytes behind a reference loads from its text are looked for, which the compiler puts close to it."""
LARGEST_IMMEDIATE = 2047
"""The largest number of an `addi`."""


def references_in_code(image: ElfImage, segment: Segment, wanted: Collection[int]) -> Iterator[Reference]:
    """The pairs of instructions of `segment` that form a `wanted` address."""
    size = segment.size - segment.size % 2
    halves = np.frombuffer(bytes(image.data[segment.offset : segment.offset + size]), dtype="<u2").astype(np.int64)
    if len(halves) < 4 or not wanted:
        return
    first = halves[:-3] | halves[1:-2] << 16
    second = halves[2:-1] | halves[3:] << 16
    pairs = np.flatnonzero(
        (first & 0x7F == _AUIPC) & (second & 0x707F == _ADDI) & (second >> 15 & 31 == first >> 7 & 31)
    )
    upper, lower = first[pairs] & 0xFFFFF000, second[pairs] >> 20
    targets = segment.address + 2 * pairs + upper - (upper >> 31 << 32) + lower - (lower >> 11 << 12)
    found = np.isin(targets, np.array(sorted(wanted), dtype=np.int64))
    for index, target in zip(pairs[found].tolist(), targets[found].tolist(), strict=True):
        yield _pair(image, segment, 2 * index, target)


def _pair(image: ElfImage, segment: Segment, place: int, target: int) -> Reference:
    offset, address = segment.offset + place, segment.address + place

    def redirect(new: int) -> bool:
        length = len(image.string(image.offset(target)))
        if not _is_near(new - address) or _is_taken_apart(image, offset):
            return False
        short = _short_lengths(image, offset, length)
        if short:
            return len(short) == 1 and _redirect_with_length(image, offset, address, new, length, *short[0])
        first, second = _PAIR.unpack_from(image.data, offset)
        image.data[offset : offset + _PAIR.size] = with_distance(first, second, new - address)
        return True

    return Reference(offset, target, redirect)


def _short_lengths(image: ElfImage, offset: int, length: int) -> list[tuple[int, int, int]]:
    """Where the text's `length`, with or without the zero at its end, is beside the pair at `offset` in an instruction
    of two bytes; the register that it sets; and the number."""
    if not _SHORTEST_LENGTH <= length <= _LARGEST_SHORT:
        return []
    beside = _beside(image, offset)
    return [
        (place, register, number)
        for number in (length, length + 1)
        for place, register in numbers_set_short(image, offset - _LENGTH_REACH, 2 * _LENGTH_REACH + _PAIR.size, number)
        if place in beside
    ]


def _beside(image: ElfImage, offset: int) -> set[int]:
    """Where instructions are from which control goes straight to the pair at `offset`, and on behind it."""
    behind = set(_straight_on(image, offset + _PAIR.size, offset + _PAIR.size + _LENGTH_REACH))
    before = (
        place
        for place in range(max(offset - _LENGTH_REACH, 0), offset, 2)
        if offset in _straight_on(image, place, offset + 2)
    )
    return behind.union(before)


def _redirect_with_length(
    image: ElfImage, offset: int, address: int, new: int, length: int, place: int, register: int, number: int
) -> bool:
    """Makes the pair at `offset`, whose address is `address`, form that of the text at `new` and set `register` to its
    length, as the instruction of two bytes at `place` set it to `number` for a text of `length`. False where something
    on the way between the two has to do with the register, or there is no room."""
    text = image.text_in_memory(new)
    first, second = _PAIR.unpack_from(image.data, offset)
    formed, mended = first >> 7 & 31, number - length + len(text)
    is_plain = formed == second >> 7 & 31 != register and mended <= LARGEST_IMMEDIATE
    if not is_plain or not _is_left_alone(image, offset, place, 2):
        return False
    placed = image.place_in_page(text + b"\0", address % PAGE)
    if placed is None or not _is_near(placed - address):
        return False
    upper = placed - address & 0xFFFFF000
    _PAIR.pack_into(image.data, offset, first & 0xFFF | upper, load_immediate(register, mended))
    _HALF.pack_into(image.data, place, _SHORT_NOP)
    return True


def _names(word: int, register: int) -> bool:
    """Whether an instruction may use or set `register`: whether it is in any place where one can be."""
    if word & 3 == 3:
        return register in (word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, word >> 27 & 31)
    return register in (word >> 7 & 31, word >> 2 & 31, 8 + (word >> 7 & 7), 8 + (word >> 2 & 7))


def _is_taken_apart(image: ElfImage, offset: int) -> bool:
    """Whether what comes behind the pair at `offset` loads from the text, which it must know then, or forms another
    address from it. A look at its first character does not count."""
    register = _WORD.unpack_from(image.data, offset + 4)[0] >> 7 & 31
    for place in _straight_on(image, offset + _PAIR.size, offset + _PAIR.size + _USE_REACH):
        (word,) = _WORD.unpack_from(image.data, place)
        if word & 3 != 3:
            if register in _short_uses(word):
                return True
        elif word >> 15 & 31 == register:
            operation, kind, number = word & 0x7F, word >> 12 & 7, word >> 20
            if operation == 0x07 or (operation == 0x03 and (kind not in (0, 4) or number)):
                return True
            if operation == _ADDI and kind == 0 and number:
                return True
        if register_set(word) == register:
            return False
    return False


def _short_uses(word: int) -> tuple[int, int]:
    """Of an instruction of two bytes: the register that it loads from and the one that it counts on; 0 for none."""
    quadrant, kind = word & 3, word >> 13 & 7
    loads_from = 8 + (word >> 7 & 7) if quadrant == 0 and kind in (1, 2, 3) else 0
    return loads_from, word >> 7 & 31 if quadrant == 1 and kind == 0 else 0


_SETTING = frozenset((0x03, 0x13, 0x17, 0x1B, 0x2F, 0x33, 0x37, 0x3B, 0x67, 0x6F, 0x73))
"""What instructions of four bytes do that set a register, but for some of those on fractions."""
_FROM_FRACTIONS = frozenset((0x14, 0x18, 0x1C))
"""Comparisons, conversions to whole numbers, moves."""


def register_set(word: int) -> int:
    """The register that an instruction of two or four bytes sets; 0 for none. One for fractions is none."""
    register, quadrant, kind = word >> 7 & 31, word & 3, word >> 13 & 7
    if quadrant == 3:
        operation = word & 0x7F
        sets = operation in _SETTING or (operation == 0x53 and word >> 27 in _FROM_FRACTIONS)
    elif quadrant == 0:
        register, sets = 8 + (word >> 2 & 7), kind in (0, 2, 3)
    elif quadrant == 1:
        register, sets = 8 + (register & 7) if kind == 4 else register, kind <= 4
    else:
        sets = kind in (0, 2, 3, 4)
    return register if sets else 0


def keeps(image: ElfImage, register: int, begin: int, end: int) -> bool:
    """Whether control goes straight from the instruction at the offset `begin` to the one at `end`, and no other before
    that sets `register`."""
    for place in _straight_on(image, begin, end + 2):
        if place == end:
            return True
        if register_set(_WORD.unpack_from(image.data, place)[0]) == register:
            return False
    return False


def _straight_on(image: ElfImage, begin: int, end: int) -> Iterator[int]:
    """Where the instructions from `begin` to `end` are, until control goes elsewhere."""
    place = begin
    while place < min(end, len(image.data) - 3):
        yield place
        (word,) = _WORD.unpack_from(image.data, place)
        if word & 3 == 3:
            if word & 0x7F in (0x63, 0x67, 0x6F):  # branches, jalr, jal
                return
            place += 4
        else:
            if (word & 3 == 1 and word >> 13 & 7 >= 5) or word & 0xF07F == 0x8002 or word & 0xF07F == 0x9002:
                return  # c.j, c.beqz, c.bnez, c.jr, c.jalr
            place += 2


def _is_near(distance: int) -> bool:
    return -(1 << 31) <= distance + 0x800 < 1 << 31


def with_distance(first: int, second: int, distance: int) -> bytes:
    """The pair `first` and `second`, counting `distance` from the place of the first."""
    upper = distance + 0x800 & 0xFFFFF000
    return _PAIR.pack(first & 0xFFF | upper, second & 0xFFFFF | (distance & 0xFFF) << 20)


def load_immediate(register: int, number: int) -> int:
    """`li register, number`, in four bytes."""
    assert 0 <= number <= LARGEST_IMMEDIATE
    return number << 20 | register << 7 | _ADDI


def jump(distance: int) -> int:
    """`j . + distance`; FormatError where that is too far."""
    if not -(1 << 20) <= distance < 1 << 20:
        refuse("the code", "is too far from what is added to it")
    return (
        (distance >> 20 & 1) << 31
        | (distance >> 1 & 0x3FF) << 21
        | (distance >> 11 & 1) << 20
        | (distance >> 12 & 0xFF) << 12
        | 0x6F
    )


def numbers_set_short(image: ElfImage, begin: int, reach: int, number: int) -> Iterator[tuple[int, int]]:
    """Where, from the offset `begin` on for `reach` bytes, `c.li` puts `number` into a register, and into which."""
    for place in range(max(begin, 0), min(begin + reach, len(image.data) - 1), 2):
        (half,) = _HALF.unpack_from(image.data, place)
        if half & 0xE003 == 0x4001 and ((half >> 12 & 1) << 5 | half >> 2 & 31) == number:
            yield place, half >> 7 & 31


def mend_length(image: ElfImage, offset: int, old: bytes, new: bytes) -> bool:
    """Where a number that is put into a register beside the reference at `offset` is the length of `old`, makes it that
    of `new`, if its instruction has room for it. It is next to the reference or, if none is, near it, where nothing
    between the two has to do with the register."""
    (second,) = _WORD.unpack_from(image.data, offset + 4)
    if second & 0xFF07F == _ADDI and (second >> 20) - len(new) in (0, 1):
        return True  # `_redirect_with_length` has done it
    next_to_it = [place for place in (offset - 4, offset + _PAIR.size) if _sets_length(image, place, len(old))]
    places = next_to_it or [
        place
        for place in _beside(image, offset)
        if _sets_length(image, place, len(old)) and _is_left_alone(image, offset, place, 4)
    ]
    mended = False
    for place in places:
        (word,) = _WORD.unpack_from(image.data, place)
        length = (word >> 20) - len(old) + len(new)
        if length <= LARGEST_IMMEDIATE:
            _WORD.pack_into(image.data, place, load_immediate(word >> 7 & 31, length))
            mended = True
    return mended


def _sets_length(image: ElfImage, place: int, length: int) -> bool:
    """Whether the instruction of four bytes at `place` puts `length`, or one more, into a register."""
    (word,) = _WORD.unpack_from(image.data, place)
    return word & 0xFF07F == _ADDI and (word >> 20) - length in (0, 1)


def _is_left_alone(image: ElfImage, offset: int, place: int, size: int) -> bool:
    """Whether no instruction between the pair at `offset` and the one at `place`, of `size` bytes, has to do with the
    register that the latter sets."""
    register = _WORD.unpack_from(image.data, place)[0] >> 7 & 31
    begin, end = (place + size, offset) if place < offset else (offset + _PAIR.size, place)
    words = (_WORD.unpack_from(image.data, one)[0] for one in _straight_on(image, begin, end))
    return not any(_names(word, register) for word in words)
