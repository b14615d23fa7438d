"""The loader's trusted directories in code for aarch64.

GCC forms the addresses of both arrays and of the second directory from that of the first one; what is not to move is
formed anew (see `aarch64`). The lengths are numbers in registers.

Sources: those of `loader`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from outcrop.compat.relocate.aarch64_code import Code, number_set, with_number
from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.loader_arrays import (
    LENGTHS,
    Arrays,
    code_of,
    only,
    redirect,
    require,
    unset_data,
)
from outcrop.compat.relocate.string_references import references

_INSTRUCTION = struct.Struct("<I")
_NEAR_SECOND = 64
"""Bytes of code within which `_dl_init_paths` forms the addresses of the first and of the second directory."""
_FIRST_REACH, _STORE_REACH, _LONGEST_REACH, _DIAGNOSTICS_REACH = 32, 14, 96, 12
"""How many instructions behind the first reference of a function the numbers are, and how far they are stored: twice
what is seen in releases."""


def move_directories(image: ElfImage, arrays: Arrays, address: int, new: Sequence[bytes]) -> None:
    require(arrays.lengths + LENGTHS.size != arrays.directories, "order of its arrays")
    found = list(references(image, arrays.span))
    starts = [one for one in found if one.target == arrays.directories]
    second = only((one for one in found if one.target == arrays.second), "reference to its second directory")
    require(len(starts) == 3, "references to its directories")
    require(len(found) == len(starts) + 1, "other references to its directories")
    init = only((one for one in starts if 0 < second.offset - one.offset < _NEAR_SECOND), "table of directories")
    code = Code(image, code_of(image))
    begin = (init.offset - code.offset) // 4
    first = only(_first_lengths(code, begin, len(arrays.old[0])), "first length")
    longest = only(_stored_in(code, begin, arrays.longest, unset_data(image)), "longest length")
    told = only(references(image, arrays.told), "diagnostics")
    require(told.target == arrays.diagnostics, "diagnostics")
    begin = (told.offset - code.offset) // 4
    told_first = only(_numbers(code, begin, _DIAGNOSTICS_REACH, len(arrays.old[0])), "told first length")
    for one in starts:
        redirect(one, address)
    redirect(second, address + len(new[0]) + 1)
    redirect(told, address)
    for index, number in ((first, len(new[0])), (longest, max(map(len, new))), (told_first, len(new[0]))):
        _INSTRUCTION.pack_into(image.data, code.offset + 4 * index, with_number(code.words[index], number))


def _numbers(code: Code, begin: int, reach: int, number: int) -> Iterator[int]:
    """The instructions from `begin` on that put `number` into a register."""
    for index in range(begin, min(begin + reach, len(code))):
        if number_set(code.words[index]) == number:
            yield index


def _stores_of(code: Code, index: int) -> Iterator[int]:
    """Instructions behind `index` that surely find in its register what it has put there, and may store it."""
    register = code.words[index] & 31
    for later in range(index + 1, min(index + _STORE_REACH, len(code))):
        if set(code.setters(later, register)) == {index}:
            yield later


def _first_lengths(code: Code, begin: int, number: int) -> Iterator[int]:
    """Those that put `number` into a register which is then stored as a directory's length, 32 bytes from its base."""
    for index in _numbers(code, begin, _FIRST_REACH, number):
        register = code.words[index] & 31
        for later in _stores_of(code, index):
            word = code.words[later]
            single = word & 0xFFFFFC1F == 0xF9001000 | register  # str register, [base, #32]
            pair = word & 0xFFFFFC00 == 0xA9018000 | register << 10  # stp other, register, [base, #24]
            if single or pair:
                yield index
                break


def _stored_in(code: Code, begin: int, number: int, variables: range) -> Iterator[int]:
    """Those that put `number` into a register which is then stored in one of the `variables`."""
    for index in _numbers(code, begin, _LONGEST_REACH, number):
        register = code.words[index] & 31
        for later in _stores_of(code, index):
            word = code.words[later]
            if word & 0xFFC0001F != 0xF9000000 | register:  # str register, [base, #offset]
                continue
            places = code.values(later, word >> 5 & 31)
            if places and all(place is not None and place + 8 * (word >> 10 & 0xFFF) in variables for place in places):
                yield index
                break
