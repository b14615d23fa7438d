"""The loader's trusted directories in code for riscv64.

Small numbers are in instructions of two bytes, which have no room for the lengths of long directories. The longest
length may be bigger than it is: it becomes 4096, which such an instruction can set. The first length is set right
behind the address of the directories: the two are moved together to where the old directories were, whose segment is
that of the code. What `--list-diagnostics` tells of the directories is a short text in their place.

Sources: those of `loader`; RISC-V unprivileged ISA, "JAL", "C.LI", "C.LUI".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.loader_arrays import Arrays, address_of, code_of, only, redirect, require, unset_data
from outcrop.compat.relocate.reference import Reference
from outcrop.compat.relocate.riscv64 import jump, keeps, load_immediate, numbers_set_short, with_distance
from outcrop.compat.relocate.string_references import references

_WORD = struct.Struct("<I")
_PAIR = struct.Struct("<II")
_HALF = struct.Struct("<H")
_NEAR_SECOND = 80
"""Bytes of code within which `_dl_init_paths` forms the addresses of the first and of the second directory."""
_LONGEST_REACH, _STORE_REACH = 200, 32
"""Bytes of code behind the first reference, and behind a number, in which it is and is stored: twice what is seen."""
_LONGEST = 4096
_NOP, _SHORT_NOP = 0x13, 0x0001
_TOLD = b"(a layer's own)"


def move_directories(image: ElfImage, arrays: Arrays, address: int, new: Sequence[bytes]) -> None:
    found = list(references(image, arrays.span))
    starts = [one for one in found if one.target == arrays.directories]
    second = only((one for one in found if one.target == arrays.second), "reference to its second directory")
    require(len(starts) == 3, "references to its directories")
    require(len(found) == len(starts) + 1, "other references to its directories")
    init = only((one for one in starts if 0 < second.offset - one.offset < _NEAR_SECOND), "table of directories")
    require(max(map(len, new)) <= _LONGEST, "longest directory")
    code = code_of(image)
    require(code.address <= arrays.directories < code.address + code.size - arrays.bytes, "place of its directories")
    longest = only(_stored_in(image, init.offset, arrays.longest), "longest length")
    (number,) = _HALF.unpack_from(image.data, longest)
    told = only(references(image, arrays.told), "diagnostics")
    require(told.target == arrays.diagnostics, "diagnostics")
    for one in starts:
        if one is not init:
            redirect(one, address)
    redirect(second, address + len(new[0]) + 1)
    _move_first(image, arrays, init, address, len(new[0]))
    _HALF.pack_into(image.data, longest, number & 0xF80 | 0x6005)  # c.lui register, 1
    _tell(image, arrays)


def _move_first(image: ElfImage, arrays: Arrays, init: Reference, address: int, length: int) -> None:
    """Lets new code in place of the old directories form the first directory's address and set its length."""
    behind = init.offset + _PAIR.size
    register = only((one for place, one in numbers_set_short(image, behind, 2, len(arrays.old[0]))), "first length")
    kept = (one for one in range(behind + 2, behind + _STORE_REACH, 2) if keeps(image, register, behind + 2, one))
    stores = (_WORD.unpack_from(image.data, place)[0] for place in kept)
    only((word for word in stores if word & 0xFFF07FFF == 0x02003023 | register << 20), "first length's place")
    at, cave = address_of(image, init.offset), arrays.directories
    first, second = _PAIR.unpack_from(image.data, init.offset)
    code = with_distance(first, second, address - cave)
    code += _WORD.pack(load_immediate(register, length))
    code += _WORD.pack(jump(at + _PAIR.size + 2 - cave - len(code)))
    offset = image.offset(cave)
    image.data[offset : offset + arrays.bytes] = code.ljust(arrays.bytes, b"\0")
    image.data[init.offset : behind + 2] = _WORD.pack(jump(cave - at)) + _WORD.pack(_NOP) + _HALF.pack(_SHORT_NOP)


def _stored_in(image: ElfImage, begin: int, number: int) -> Iterator[int]:
    """Where in the file a short instruction puts `number` into a register that is then stored in a variable."""
    variables = unset_data(image)
    for place, register in numbers_set_short(image, begin, _LONGEST_REACH, number):
        for later in range(place + 2, place + _STORE_REACH, 2):
            first, store = _PAIR.unpack_from(image.data, later)
            base = first >> 7 & 31
            if (
                first & 0x7F != 0x17
                or store & 0x707F != 0x3023
                or store >> 15 & 31 != base
                or store >> 20 & 31 != register
                or base == register
                or not keeps(image, register, place + 2, later)
            ):
                continue
            upper = (first & 0xFFFFF000) - (1 << 32 if first >> 31 else 0)
            lower = (store >> 25 << 5 | store >> 7 & 31) - (1 << 12 if store >> 31 else 0)
            if address_of(image, later) + upper + lower in variables:
                yield place
                break


def _tell(image: ElfImage, arrays: Arrays) -> None:
    """In place of what `--list-diagnostics` tells, a text whose first part is as long as the first directory, since its
    length is in the code."""
    text = _TOLD.ljust(len(arrays.old[0]), b".")
    offset = image.offset(arrays.diagnostics)
    image.data[offset : offset + arrays.bytes] = text.ljust(arrays.bytes, b"\0")
