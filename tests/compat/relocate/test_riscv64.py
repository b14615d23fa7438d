"""References in code for riscv64: pairs side by side, refused where a text is taken apart or its length small."""

from __future__ import annotations

import struct

import pytest

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.reference import Reference
from outcrop.compat.relocate.riscv64 import (
    jump,
    keeps,
    load_immediate,
    mend_length,
    references_in_code,
    register_set,
)
from tests.compat.relocate.small_elf import CODE, TEXTS, elf
from tests.compat.relocate.small_riscv64 import pair_to

RISCV64 = 243
PATH = b"/etc/first/path"
A0, A1, A5 = 10, 11, 15
RET = b"\x82\x80"
LOAD = 0x00053583  # ld a1, 0(a0)


def image_of(*code: bytes) -> ElfImage:
    return ElfImage(elf(RISCV64, b"".join(code), PATH + b"\0/not/ours\0"))


def short_number(register: int, number: int) -> bytes:
    """`c.li register, number`."""
    return struct.pack("<H", 0x4001 | (number >> 5) << 12 | register << 7 | (number & 31) << 2)


def found(image: ElfImage) -> list[Reference]:
    return list(references_in_code(image, image.loaded[0], (TEXTS,)))


def formed(image: ElfImage, place: int) -> int:
    first, second = struct.unpack("<II", image.in_memory(place, 8))
    upper = (first & 0xFFFFF000) - (1 << 32 if first >> 31 else 0)
    return int(place + upper + (second >> 20) - (1 << 12 if second >> 31 else 0))


@pytest.mark.parametrize("far", [0x3000, 0x2FFF, 0x2801, 0x7FF_F123])
def test_a_pair_is_changed(far: int) -> None:
    image = image_of(b"\x01\x00", pair_to(A0, CODE + 2, TEXTS), RET)
    (one,) = found(image)
    assert (one.offset, one.target) == (CODE + 2, TEXTS)
    image.new += bytes(far)  # so that there is something at that address
    assert one.redirect(far)
    assert formed(image, CODE + 2) == far


def test_a_pair_is_redirected_to_a_new_string() -> None:
    image = image_of(pair_to(A0, CODE, TEXTS), RET)
    new = image.place_string(b"/new" + PATH)
    assert found(image)[0].redirect(new)
    assert formed(image, CODE) == new


def beside(*before: bytes, after: tuple[bytes, ...] = (), first: int = A0, second: int = A0) -> ElfImage:
    """A pair that forms the address of a text, in registers that may differ, with code before and after it."""
    head = b"".join(before)
    pair = struct.unpack("<II", pair_to(first, CODE + len(head), TEXTS))
    pair_bytes = struct.pack("<II", pair[0], pair[1] & ~(31 << 7) | second << 7)
    return image_of(head, pair_bytes, *after, RET)


LENGTH = short_number(A1, len(PATH))
SIZE = short_number(A1, len(PATH) + 1)
MOVE = b"\x22\x86"  # c.mv a2, s0
NEW = b"/new" + PATH


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ((LENGTH,), (), 0),
        ((), (LENGTH,), 0),
        ((SIZE,), (), 1),
        ((MOVE, LENGTH, MOVE), (MOVE,), 0),
        ((MOVE,), (MOVE, SIZE, MOVE), 1),
    ],
)
def test_a_length_without_room_is_set_by_the_second_of_the_pair(
    before: tuple[bytes, ...], after: tuple[bytes, ...], more: int
) -> None:
    image = beside(*before, after=after)
    old = bytes(image.data)
    (pair,) = found(image)
    assert pair.redirect(image.place_string(NEW))
    first, second = struct.unpack("<II", image.in_memory(pair.offset, 8))
    place = pair.offset + (first & 0xFFFFF000)
    assert image.in_memory(place, len(NEW) + 1) == NEW + b"\0"
    assert register_set(first) == A0
    assert second == load_immediate(A1, len(NEW) + more)
    short = old.index(SIZE if more else LENGTH, CODE)
    assert image.in_memory(short, 2) == b"\x01\x00"  # c.nop
    untouched = {*range(len(old))} - {short, short + 1} - {*range(pair.offset, pair.offset + 8)}
    assert all(old[at] == image.data[at] for at in untouched)
    # Who mends lengths afterwards hears that it is done.
    assert mend_length(image, pair.offset, PATH, NEW)


@pytest.mark.parametrize(
    "image",
    [
        beside(LENGTH, b"\x2e\x86"),  # c.mv a2, a1
        beside(LENGTH, struct.pack("<I", 0x00158613)),  # addi a2, a1, 1
        beside(after=(b"\xb2\x85", LENGTH)),  # c.mv a1, a2
        beside(after=(struct.pack("<I", 0x00B60633), LENGTH)),  # add a2, a2, a1
        beside(LENGTH, after=(SIZE,)),
        beside(short_number(A0, len(PATH))),
        beside(LENGTH, second=A5),
    ],
    ids=["used", "counted on", "set", "added", "twice", "the same register", "another register"],
)
def test_a_length_without_room_is_refused_where_its_register_has_to_do_with_more(image: ElfImage) -> None:
    before = bytes(image.data)
    assert not found(image)[0].redirect(image.place_string(NEW))
    assert bytes(image.data) == before


LONG = struct.pack("<I", load_immediate(A1, len(PATH)))


@pytest.mark.parametrize(
    "image", [beside(LONG, MOVE), beside(MOVE, after=(MOVE, LONG)), beside(LONG), beside(after=(LONG,))]
)
def test_a_length_near_the_pair_is_mended(image: ElfImage) -> None:
    (pair,) = found(image)
    place = bytes(image.data).index(LONG, CODE)
    assert mend_length(image, pair.offset, PATH, NEW)
    assert image.in_memory(place, 4) == struct.pack("<I", load_immediate(A1, len(NEW)))


@pytest.mark.parametrize(
    "image",
    [
        beside(LONG, b"\x2e\x86"),  # c.mv a2, a1
        beside(after=(b"\xb2\x85", LONG)),  # c.mv a1, a2
        beside(LONG, RET, MOVE),
        beside(LONG, MOVE * 8),
        beside(struct.pack("<I", load_immediate(A1, len(PATH) + 2)), MOVE),
    ],
    ids=["used", "set", "not on the way", "far", "another number"],
)
def test_a_number_that_has_to_do_with_more_is_no_length(image: ElfImage) -> None:
    before = bytes(image.data)
    assert not mend_length(image, found(image)[0].offset, PATH, NEW)
    assert bytes(image.data) == before


def test_a_length_without_room_is_refused_where_no_segment_is_added() -> None:
    image = beside(LENGTH)
    new = image.place_string(NEW)
    image.in_padding = True
    assert not found(image)[0].redirect(new)


def test_another_number_beside_is_none() -> None:
    image = image_of(short_number(A1, 3), pair_to(A0, CODE + 2, TEXTS), RET)
    assert found(image)[0].redirect(image.place_string(b"/new" + PATH))


def test_a_length_with_room_is_mended() -> None:
    image = image_of(struct.pack("<I", load_immediate(A1, 40)), pair_to(A0, CODE + 4, TEXTS), RET)
    assert mend_length(image, CODE + 4, b"/" * 40, b"/" * 90)
    assert image.in_memory(CODE, 4) == struct.pack("<I", load_immediate(A1, 90))


@pytest.mark.parametrize(
    "use",
    [struct.pack("<I", LOAD), struct.pack("<I", 5 << 20 | A0 << 15 | A1 << 7 | 0x13), b"\x0c\x61"],
    ids=["ld a1, 0(a0)", "addi a1, a0, 5", "c.ld a1, 0(a0)"],
)
def test_a_text_taken_apart_is_refused(use: bytes) -> None:
    image = image_of(pair_to(A0, CODE, TEXTS), use, RET)
    assert not found(image)[0].redirect(image.place_string(b"/new" + PATH))


def test_a_load_from_what_came_later_is_no_harm() -> None:
    image = image_of(pair_to(A0, CODE, TEXTS), struct.pack("<II", load_immediate(A0, 0), LOAD), RET)
    assert found(image)[0].redirect(image.place_string(b"/new" + PATH))


@pytest.mark.parametrize(
    "other",
    [0x0005B507, 0x02B57553, 0x62B57543, 0xD2058553, 0x2188, 0x2522],
    ids=["fld fa0", "fadd.d fa0", "fmadd.d fa0", "fcvt.d.w fa0", "c.fld fa0", "c.fldsp fa0"],
)
def test_a_register_for_fractions_is_another_one(other: int) -> None:
    between = struct.pack("<I" if other & 3 == 3 else "<H", other)
    image = image_of(pair_to(A0, CODE, TEXTS), between, struct.pack("<I", LOAD), RET)
    assert not found(image)[0].redirect(image.place_string(b"/new" + PATH))


SETTING_A5 = """
    lbu:54783 addi:150793 auipc:1797 addiw:15079b amoadd.w:e527af and:e577b3 lui:123457b7 subw:40e507bb jalr:8507e7
    jal:8007ef csrr:3027f3 feq.d:a2b527d3 fcvt.w.d:c20517d3 fmv.x.d:e20507d3 c.addi4spn:3c c.lw:411c c.ld:611c
    c.addi:785 c.addiw:2785 c.li:4785 c.lui:6785 c.srli:8385 c.and:8ff9 c.slli:786 c.ldsp:67a2 c.mv:87ba c.add:97ba
    c.sub:8f99
"""
SETTING_NONE = """
    sd:e537a3 fsd:e537a7 beq:b50f63 fence:230000f fadd.d:2b577d3 fmadd.d:62b577c3 fcvt.d.w:d20507d3 fmv.d.x:f20507d3
    c.fld:211c c.sd:e11c c.j:a839 c.beqz:cf99 c.fldsp:27a2 c.sdsp:e43e c.nop:1 fld:853787
"""
"""Instructions as binutils makes them, of a5 or fa5 where they have one."""


@pytest.mark.parametrize(("words", "register"), [(SETTING_A5, A5), (SETTING_NONE, 0)], ids=["a5", "none"])
def test_the_register_that_an_instruction_sets_is_known(words: str, register: int) -> None:
    pairs = [word.split(":") for word in words.split()]
    assert [name for name, word in pairs if register_set(int(word, 16)) != register] == []


@pytest.mark.parametrize(
    ("between", "kept"),
    [
        (struct.pack("<I", load_immediate(A0, 1)), True),
        (struct.pack("<I", load_immediate(A1, 1)), False),
        (short_number(A0, 1), True),
        (short_number(A1, 1), False),
        (struct.pack("<I", jump(4)), False),
        (RET, False),
    ],
    ids=["addi a0", "addi a1", "c.li a0", "c.li a1", "jal", "ret"],
)
def test_a_register_is_kept_where_control_goes_straight_on(between: bytes, kept: bool) -> None:
    image = image_of(short_number(A1, 3), between, RET, RET)
    assert keeps(image, A1, CODE + 2, CODE + 2 + len(between)) == kept
    # No instruction begins in the middle of another, nor before the first.
    assert not keeps(image, A1, CODE + 2, CODE + 1 + len(between))
    assert not keeps(image, A1, CODE + 2, CODE)
