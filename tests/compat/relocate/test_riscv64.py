"""References in code for riscv64: pairs side by side, refused where a text is taken apart or its length small."""

from __future__ import annotations

import struct

import pytest

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.reference import Reference
from outcrop.compat.relocate.riscv64 import (
    jump,
    load_immediate,
    mend_length,
    numbers_set_short,
    pair_to,
    references_in_code,
    set_with_length,
)
from tests.compat.relocate.small_elf import CODE, TEXTS, elf

RISCV64 = 243
PATH = b"/etc/first/path"
A0, A1 = 10, 11
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


@pytest.mark.parametrize("before", [True, False])
def test_a_length_without_room_is_refused(before: bool) -> None:
    number = short_number(A1, len(PATH))
    head = number if before else b""
    tail = b"" if before else number
    image = image_of(head, pair_to(A0, CODE + len(head), TEXTS), tail, RET)
    assert not found(image)[0].redirect(image.place_string(b"/new" + PATH))


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


def test_an_address_is_formed_with_its_length_elsewhere() -> None:
    image = image_of(short_number(A1, 16), pair_to(A0, CODE + 2, TEXTS), RET)
    assert list(numbers_set_short(image, CODE, 2, 16)) == [(CODE, A1)]
    new = image.place_string(b"/new" + PATH)
    (pair,) = found(image)
    set_with_length(image, pair, new, TEXTS, A1, 91)
    assert image.in_memory(CODE + 2, 4) == struct.pack("<I", jump(TEXTS - CODE - 2))
    assert formed(image, TEXTS) == new
    number, back = struct.unpack("<II", image.in_memory(TEXTS + 8, 8))
    assert (number, back) == (load_immediate(A1, 91), jump(CODE + 10 - TEXTS - 12))
