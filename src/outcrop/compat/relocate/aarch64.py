"""References to strings in machine code for aarch64, and how to make them refer elsewhere.

What forms an address is the last of its instructions: an `add` to what an `adrp` has set, maybe for other strings as
well, or to another string's address (compilers form those of neighbours from one). So that one instruction is replaced,
and the others stay: by `adr`, which reaches 1 MiB, or by a jump to new code that forms the address and jumps back. Only
where an `adrp` and its `add` stand together, and nothing else uses the `adrp`, both are changed.

A reference is left as it is, and told so, where

- other addresses, or unknown ones, may come to the same instruction;
- the program copies the text by instructions that load from it: they know its length;
- other addresses are formed from it and it is not certain which. Where it is certain, they are formed anew.

Sources: those of `aarch64_code`; GCC, "Section Anchors" (internals manual) for neighbours' addresses.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from outcrop.compat.relocate.aarch64_code import (
    PAGE,
    Code,
    Flow,
    add,
    added,
    address_formed,
    adr,
    adrp_to,
    copied_register,
    is_access,
    is_adr,
    is_adrp,
    jump,
    leaves,
    number_set,
    reach_of_access,
    with_number,
)
from outcrop.compat.relocate.elf_image import ElfImage, Segment
from outcrop.compat.relocate.reference import Reference

_INSTRUCTION = struct.Struct("<I")
_BEFORE_ANCHOR, _BEHIND_ANCHOR = 256, 4095
"""How far from an anchor the addresses that are formed from it may be (GCC, `TARGET_MIN_ANCHOR_OFFSET`)."""
_PAIR_REACH = 16
"""How many instructions an `add` may be behind its `adrp` for the two to be changed together."""
_LENGTH_REACH = 8
"""How many instructions before and behind a reference its length is looked for."""


def references_in_code(image: ElfImage, segment: Segment, wanted: Collection[int]) -> Iterator[Reference]:
    """The instructions of `segment` that form a `wanted` address, each once."""
    if not wanted:
        return
    code = Code(image, segment)
    for index, target in sorted(_Search(image, code, wanted).found().items()):
        yield _reference(_Site(image, code, index, target))


class _Search:
    """A search in `code` for instructions that form one of the addresses `wanted`."""

    def __init__(self, image: ElfImage, code: Code, wanted: Collection[int]) -> None:
        self._image = image
        self._code = code
        self._wanted = wanted
        self._sorted = sorted(wanted)

    def found(self) -> dict[int, int]:
        """Each such instruction, by number, with the address it forms. One that may form several is among them."""
        found: dict[int, int] = {}
        indexes, addresses = self._code.formed(0x9F000000, 0x10000000)
        exact = np.isin(addresses, np.array(self._sorted, dtype=np.int64))
        found.update(zip(indexes[exact].tolist(), addresses[exact].tolist(), strict=True))
        indexes, pages = self._code.formed(0x9F000000, 0x90000000)
        near = np.isin(pages, np.array(self._pages(), dtype=np.int64))
        for index, page in zip(indexes[near].tolist(), pages[near].tolist(), strict=True):
            self._follow(index, page, found)
        return found

    def _pages(self) -> list[int]:
        """The pages from which a wanted address may be formed, in one step or by an anchor."""
        places = {one + far >> 12 for one in self._sorted for far in (0, -_BEHIND_ANCHOR, _BEFORE_ANCHOR)}
        return [place * PAGE for place in sorted(places)]

    def _follow(self, start: int, page: int, found: dict[int, int]) -> None:
        """Adds to `found` what forms an address from the `page` that instruction `start` has put into a register."""
        work, seen = [(start, page, True)], set()
        while work:
            index, address, is_page = work.pop()
            if (index, address) in seen:
                continue
            seen.add((index, address))
            register = self._code.words[index] & 31
            for reader in self._code.readers(index, register):
                word = self._code.words[reader]
                if word & 31 == 31:
                    continue
                number = added(word) if word >> 5 & 31 == register else None
                if number is not None:
                    if address + number in self._wanted and (is_page or not self._is_walk(reader, address, number)):
                        found.setdefault(reader, address + number)
                    if is_page and self._is_anchor(address + number):
                        work.append((reader, address + number, False))
                elif copied_register(word) == register:
                    work.append((reader, address, is_page))

    def _is_walk(self, index: int, address: int, number: int) -> bool:
        """Whether instruction `index`, which adds `number` to `address`, goes through texts of all kinds: also through
        those that are not known here, such as a function's argument."""
        if not 0 < number <= len(self._image.string(self._image.offset(address))):
            return False
        return None in self._code.values(index, self._code.words[index] >> 5 & 31)

    def _is_anchor(self, address: int) -> bool:
        """Whether a wanted address other than `address` itself may be formed from it."""
        place = bisect_left(self._sorted, address - _BEFORE_ANCHOR)
        near = self._sorted[place : place + 2]
        return any(one != address and one <= address + _BEHIND_ANCHOR for one in near)


# --- one reference -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Site:
    """The instruction `index` of `code`, which forms the address `target`."""

    image: ElfImage
    code: Code
    index: int
    target: int

    @property
    def register(self) -> int:
        return self.code.words[self.index] & 31

    @property
    def base(self) -> int:
        """The register that the address is formed from, if it is."""
        return self.code.words[self.index] >> 5 & 31

    def now(self, index: int) -> int:
        """Instruction `index` as it is by now."""
        (word,) = _INSTRUCTION.unpack_from(self.image.data, self.code.offset + 4 * index)
        return int(word)

    def put(self, index: int, word: int) -> None:
        _INSTRUCTION.pack_into(self.image.data, self.code.offset + 4 * index, word)


def _reference(site: _Site) -> Reference:
    def redirect(address: int) -> bool:
        if not _is_certain(site):
            return False
        neighbours = _neighbours(site, address)
        if neighbours is None or not all(_form(one, one.target) for one in neighbours):
            return False
        return _form(site, address)

    return Reference(site.code.offset + 4 * site.index, site.target, redirect)


def _is_certain(site: _Site) -> bool:
    """Whether the instruction never forms another address."""
    word = site.code.words[site.index]
    if is_adr(word):
        return True
    number = added(word)
    return number is not None and site.code.values(site.index, site.base) == {site.target - number}


def _neighbours(site: _Site, address: int) -> list[_Site] | None:
    """What forms other addresses from that of `site`, and has to do so without it when that becomes `address`. None
    where that cannot be: where it is not certain, or the text is loaded by instructions that know its length."""
    code = site.code
    old = site.image.string(site.image.offset(site.target)) + b"\0"
    text = range(site.target, site.target + len(old))
    new = site.image.in_memory(address, len(old))
    same = next((place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(old))
    unchanged = range(site.target, site.target + same + 1)
    found: list[_Site] = []
    work, seen = [site.index], set()
    while work:
        setter = work.pop()
        if setter in seen:
            continue
        seen.add(setter)
        register = code.words[setter] & 31
        for reader in code.readers(setter, register):
            word = code.words[reader]
            if copied_register(word) == register and word & 31 != 31:
                work.append(reader)
            elif word >> 5 & 31 != register:
                continue
            elif (number := added(word)) is not None:
                other = site.target + number
                if other in unchanged:
                    continue
                if not _is_for_any_text(code, reader, register, range(other, other + 1), text):
                    if other in text or word & 31 == 31 or code.values(reader, register) != {site.target}:
                        return None
                    found.append(_Site(site.image, code, reader, other))
            elif is_access(word) and (reach := reach_of_access(word)) is not None:
                bytes_reached = range(site.target + reach[0], site.target + reach[1])
                if bytes_reached[0] in unchanged and bytes_reached.stop in unchanged:
                    continue
                if not _is_for_any_text(code, reader, register, bytes_reached, text):
                    return None
    return found


def _is_for_any_text(code: Code, index: int, register: int, reached: range, text: range) -> bool:
    """Whether instruction `index`, which reaches the bytes `reached`, works on all kinds of texts: also on those that
    are not known here, such as a function's argument, and within this one."""
    return reached[0] in text and reached[-1] in text and None in code.values(index, register)


def _form(site: _Site, address: int) -> bool:
    """Makes the instruction of `site` form `address`, if that is possible."""
    code, index, register = site.code, site.index, site.register
    if address == site.target and site.now(index) != code.words[index]:
        return True  # it stands on its own already
    place = code.place(index)
    page = _lonely_page(site)
    if page is not None and address != site.target:
        moved = adrp_to(register, code.place(page), address)
        if moved is not None:
            site.put(page, moved)
            site.put(index, add(register, register, address))
            return True
    near = adr(register, address - place)
    if near is not None:
        site.put(index, near)
        return True
    return _form_elsewhere(site, address)


def _form_elsewhere(site: _Site, address: int) -> bool:
    """Makes the instruction of `site` a jump to new code, which forms `address` and jumps back."""
    place, register = site.code.place(site.index), site.register
    start = site.image.place(bytes(4 * _INSTRUCTION.size), _INSTRUCTION.size)
    there, back = jump(start - place), jump(place + 4 - start - 8)
    page = adrp_to(register, start, address)
    if there is None or back is None or page is None:
        return False
    site.image.make_code(start, b"".join(map(_INSTRUCTION.pack, (page, add(register, register, address), back, 0))))
    site.put(site.index, there)
    return True


def _lonely_page(site: _Site) -> int | None:
    """The `adrp` that only the instruction of `site` uses; None where that is not plain to see."""
    code, register = site.code, site.register
    word = code.words[site.index]
    if register != site.base or is_adr(word) or site.now(site.index) != word:
        return None
    for index in range(site.index - 1, max(site.index - _PAIR_REACH, 0) - 1, -1):
        word = code.words[index]
        if code.is_target(index + 1) or code.flow(index) != Flow.NEXT:
            return None
        if is_adrp(word) and word & 31 == register:
            page = address_formed(word, code.place(index))
            return index if page == site.target & -PAGE and site.now(index) == word else None
        if register in (word & 31, word >> 5 & 31, word >> 16 & 31, word >> 10 & 31):
            return None
    return None


# --- lengths -----------------------------------------------------------------------------------------------------


def mend_length(image: ElfImage, offset: int, old: bytes, new: bytes) -> bool:
    """Where a number that is put into a register beside the reference at `offset` is the length of `old`, makes it that
    of `new`. Beside means: with no call between them."""
    mended = False
    for step in (-1, 1):
        for place in range(offset + 4 * step, offset + 4 * step * (_LENGTH_REACH + 1), 4 * step):
            if not 0 <= place <= len(image.data) - 4:
                break
            (word,) = _INSTRUCTION.unpack_from(image.data, place)
            if leaves(word):
                break
            number = number_set(word)
            if number in (len(old), len(old) + 1):
                _INSTRUCTION.pack_into(image.data, place, with_number(word, number - len(old) + len(new)))
                mended = True
    return mended
