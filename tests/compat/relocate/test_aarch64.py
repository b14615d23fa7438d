"""References in code for aarch64: found wherever the `adrp` is, changed without harm to others, refused when unsure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from copy import deepcopy

import pytest

from outcrop.compat.relocate.aarch64 import mend_length, references_in_code
from outcrop.compat.relocate.aarch64_code import (
    Code,
    add,
    added,
    address_formed,
    adr,
    adrp_to,
    is_adr,
    is_adrp,
    number_set,
    signed,
    with_number,
)
from outcrop.compat.relocate.elf_image import PF_X, ElfImage
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.reference import Reference
from outcrop.compat.relocate.strings_of_elf import re_point
from tests.compat.relocate.small_elf import CODE, TEXTS, elf

AARCH64 = 183
RET, NOP = 0xD65F03C0, 0xD503201F
FAR = 0x200000
PATH = b"/etc/first"
OTHER = TEXTS + 16
TEXT = PATH.ljust(16, b"\0") + b"/not/ours\0"
RULES = PathRules(b"/cvmfs/repository/prefix", frozenset())


def adrp(index: int, register: int, address: int) -> int:
    word = adrp_to(register, CODE + 4 * index, address)
    assert word is not None
    return word


def low(register: int, base: int, address: int) -> int:
    return add(register, base, address & 0xFFF)


def branch(index: int, to: int, opcode: int = 0x54000000) -> int:
    """`b.eq` from one instruction to another."""
    return opcode | (to - index & 0x7FFFF) << 5


def call(index: int, to: int) -> int:
    return 0x94000000 | to - index & 0x3FFFFFF


def move(register: int, source: int) -> int:
    return 0xAA0003E0 | source << 16 | register


def image_of(words: Sequence[int], *, functions: Sequence[int] = (), texts_at: int = TEXTS) -> ElfImage:
    starts = [CODE + 4 * index for index in functions]
    code = struct.pack(f"<{len(words)}I", *words)
    return ElfImage(elf(AARCH64, code, TEXT, functions=starts, texts_at=texts_at))


def found(image: ElfImage, *wanted: int) -> list[Reference]:
    return list(references_in_code(image, image.loaded[0], wanted))


def places(references: Sequence[Reference]) -> list[tuple[int, int]]:
    return [((one.offset - CODE) // 4, one.target) for one in references]


def formed(image: ElfImage, index: int, page: int | None = None) -> int:
    """The address that instruction `index` forms in the changed file, maybe with the `adrp` at instruction `page`."""
    data = ElfImage(deepcopy(image).finished())
    place = CODE + 4 * index
    (word,) = struct.unpack("<I", data.in_memory(place, 4))
    if is_adr(word):
        return address_formed(word, place)
    if word >> 26 == 5:
        stub = place + 4 * signed(word, 26)
        assert next(one for one in data.loaded if one.address <= stub < one.address + one.size).flags & PF_X
        first, second, back = struct.unpack("<3I", data.in_memory(stub, 12))
        assert is_adrp(first)
        assert back >> 26 == 5
        assert stub + 8 + 4 * signed(back, 26) == place + 4
        return address_formed(first, stub) + (added(second) or 0)
    assert page is not None
    (first,) = struct.unpack("<I", data.in_memory(CODE + 4 * page, 4))
    return address_formed(first, CODE + 4 * page) + (added(word) or 0)


def test_a_lonely_pair_is_changed_as_a_pair() -> None:
    image = image_of([adrp(0, 0, TEXTS), low(0, 0, TEXTS), RET])
    (one,) = found(image, TEXTS)
    assert (one.offset, one.target) == (CODE + 4, TEXTS)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 1, page=0) == new


def test_an_adrp_that_serves_others_stays() -> None:
    words = [adrp(0, 1, TEXTS), low(0, 1, TEXTS), low(2, 1, OTHER), RET]
    image = image_of(words)
    (one,) = found(image, TEXTS)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 1) == new
    assert formed(image, 2, page=0) == OTHER


def test_what_is_too_far_for_adr_is_formed_by_new_code() -> None:
    words = [adrp(0, 1, FAR), low(0, 1, FAR), low(2, 1, FAR + 16), RET]
    image = image_of(words, texts_at=FAR)
    (one,) = found(image, FAR)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 1) == new
    assert formed(image, 2, page=0) == FAR + 16


def test_an_adrp_far_away_is_found_through_branches_and_calls() -> None:
    words = [adrp(0, 19, TEXTS), branch(1, 4), call(2, 8), RET, call(4, 8), *[NOP] * 100, low(0, 19, TEXTS), RET]
    assert places(found(image_of(words), TEXTS)) == [(105, TEXTS)]


def test_a_call_spoils_the_registers_that_it_may_use() -> None:
    words = [adrp(0, 3, TEXTS), call(1, 4), low(0, 3, TEXTS), RET, RET]
    assert not found(image_of(words), TEXTS)


def test_a_copied_register_is_followed() -> None:
    words = [adrp(0, 3, TEXTS), move(20, 3), call(2, 5), low(0, 20, TEXTS), RET, RET]
    image = image_of(words)
    (one,) = found(image, TEXTS)
    assert one.redirect(image.place_string(b"/new"))


def test_a_switch_leads_to_what_nothing_else_leads_to() -> None:
    words = [adrp(0, 19, TEXTS), 0xD61F0020, NOP, RET, low(0, 19, TEXTS), RET, low(0, 19, TEXTS), RET]
    # The second function is not one that the first one's switch can go to.
    image = image_of(words, functions=[0, 6])
    assert places(found(image, TEXTS)) == [(4, TEXTS)]
    assert found(image, TEXTS)[0].redirect(image.place_string(b"/new"))


def test_a_call_that_ends_a_function_does_not_return() -> None:
    words = [adrp(0, 19, TEXTS), call(1, 7), low(0, 19, TEXTS), RET, NOP, call(5, 7), NOP, RET]
    assert not found(image_of(words, functions=[0, 4, 7]), TEXTS)
    assert found(image_of(words, functions=[0]), TEXTS)


@pytest.mark.parametrize(
    "first",
    [adrp(0, 1, TEXTS + 0x1000), move(1, 2)],
    ids=["another page", "an unknown value"],
)
def test_an_instruction_with_two_meanings_is_refused(first: int) -> None:
    words = [first, branch(1, 3), adrp(2, 1, TEXTS), low(0, 1, TEXTS), RET]
    image = image_of(words)
    before = bytes(image.data)
    (one,) = found(image, TEXTS)
    assert not one.redirect(image.place_string(b"/new"))
    assert image.data == before


def test_two_ways_to_the_same_page_are_one_meaning() -> None:
    words = [adrp(0, 1, TEXTS), branch(1, 3), adrp(2, 1, TEXTS), low(0, 1, TEXTS), RET]
    image = image_of(words)
    (one,) = found(image, TEXTS)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 3) == new  # neither `adrp` has changed


def test_addresses_of_neighbours_are_formed_anew() -> None:
    words = [adrp(0, 0, TEXTS), low(0, 0, TEXTS), add(1, 0, 16), RET]
    image = image_of(words)
    (one,) = found(image, TEXTS)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 1, page=0) == new
    assert formed(image, 2) == OTHER


def test_a_wanted_neighbour_moves_whatever_comes_first() -> None:
    words = [adrp(0, 0, TEXTS), low(0, 0, TEXTS), add(1, 0, 16), RET]
    for order in (1, -1):
        image = image_of(words)
        new = {TEXTS: image.place_string(b"/new"), OTHER: image.place_string(b"/newer")}
        for one in found(image, TEXTS, OTHER)[::order]:
            assert one.redirect(new[one.target])
        assert formed(image, 2) == new[OTHER]


@pytest.mark.parametrize(
    "load",
    [0xA9400402, 0x3DC00002, 0x39401402],
    ids=["ldp x2, x1, [x0]", "ldr q2, [x0]", "ldrb w2, [x0, #5]"],
)
def test_a_text_that_instructions_copy_is_refused(load: int) -> None:
    image = image_of([adrp(0, 0, TEXTS), low(0, 0, TEXTS), load, RET])
    (one,) = found(image, TEXTS)
    assert not one.redirect(image.place_string(b"/new/etc/first"))


def test_a_look_at_the_first_character_is_no_copy() -> None:
    image = image_of([adrp(0, 0, TEXTS), low(0, 0, TEXTS), 0x39400001, RET])
    (one,) = found(image, TEXTS)
    assert one.redirect(image.place_string(b"/new/etc/first"))


def test_a_loop_over_any_text_is_no_copy() -> None:
    # x0 is the argument or the text: ldrb w1, [x0, #1]; add x0, x0, #1; b.eq back
    words = [branch(0, 3), adrp(1, 0, TEXTS), low(0, 0, TEXTS), 0x39400401, add(0, 0, 1), branch(5, 3), RET]
    image = image_of(words)
    references = found(image, *range(TEXTS, TEXTS + 5))
    assert places(references) == [(2, TEXTS)]
    assert references[0].redirect(image.place_string(b"/new/etc/first"))


def test_an_adr_is_a_reference() -> None:
    word = adr(3, TEXTS - CODE)
    assert word is not None
    image = image_of([word, RET])
    (one,) = found(image, TEXTS)
    new = image.place_string(b"/new")
    assert one.redirect(new)
    assert formed(image, 0) == new


def test_values_of_a_register_at_a_function_begin_unknown() -> None:
    image = image_of([adrp(0, 1, TEXTS), NOP, low(0, 1, TEXTS), RET], functions=[1])
    assert Code(image, image.loaded[0]).values((CODE + 8) // 4, 1) == {None}


def test_a_length_is_mended_up_to_the_next_call() -> None:
    number = with_number(0x52800002, len(PATH))
    words = [number, call(1, 6), number, adrp(3, 0, TEXTS), low(0, 0, TEXTS), with_number(number, 11), call(6, 9)]
    image = image_of([*words, number, RET, RET])
    assert mend_length(image, CODE + 16, PATH, b"/new" + PATH)
    told = [number_set(word) for word in struct.unpack("<9I", image.data[CODE : CODE + 36])]
    assert [told[index] for index in (0, 2, 5, 7)] == [10, 14, 15, 10]


def test_what_is_refused_is_told_as_left() -> None:
    image = image_of([adrp(0, 0, TEXTS), low(0, 0, TEXTS), 0xA9400402, RET])
    changes = re_point(image, RULES)
    assert (changes.left, changes.moved) == ([PATH], {})


def test_a_path_is_moved_with_its_length() -> None:
    image = image_of([adrp(0, 0, TEXTS), low(0, 0, TEXTS), with_number(0x52800001, len(PATH)), call(3, 5), RET, RET])
    changes = re_point(image, RULES)
    assert (changes.left, changes.lengths) == ([], [PATH])
    address = formed(image, 1, page=0)
    data = ElfImage(image.finished())
    new = RULES.prefix + PATH
    assert data.in_memory(address, len(new) + 1) == new + b"\0"
    assert number_set(struct.unpack("<I", data.in_memory(CODE + 8, 4))[0]) == len(new)
