"""Machine code for aarch64: which registers an instruction sets, where control goes, and what a register may hold.

An address takes two instructions, `adrp` for its page and `add` for the rest, and compilers move the first far away:
out of loops, in front of a switch, into registers that outlive calls. So whether an `add` forms an address is a
question to the flow of control. It is answered from both ends: forwards from an `adrp` to all that may read its
register, and backwards from an `add` to all that may have set it.

Control goes on behind an instruction, to the target of a branch, and behind a call, which spoils the registers that the
ABI lets it. Where it goes from an indirect jump is not known; a switch goes on in those places of its function that
nothing else leads to. Where functions begin is in the table for unwinding (`.eh_frame_hdr`), which is in every file.

Sources: Arm Architecture Reference Manual for A-profile, C4.1 "A64 instruction set encoding"; Procedure Call Standard
for the Arm 64-bit Architecture, 6.1 "Machine Registers"; LSB Core, "Exception Frames".
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from outcrop.compat.relocate.elf_image import PT_GNU_EH_FRAME, SHF_EXECINSTR, SHT_NOBITS, ElfImage, Segment

Words = NDArray[np.uint32]
Mask = NDArray[np.bool_]

PAGE = 4096
ENTRY = -1
"""In place of an instruction that sets a register: the caller of the function, or one too far away to be looked for."""

_ZERO = 31
"""As a register's number: the zero register or the stack pointer, never an address of a constant."""
_SPOILED_BY_CALL = 0x4007FFFF
"""x0 to x18 and x30, one bit each."""
_FURTHEST = 20_000
"""How many instructions are looked at for one register: the longest functions of a layer have as many."""
_NOP = 0xD503201F
_LONGEST_FILLING = 16
"""How many `nop` fill up the space between functions, which begin at multiples of 64 bytes at most."""
_DEEPEST = 4
"""How many instructions make up an address: `adrp`, `add` to an anchor, `add` from there, and a `mov` between."""


class Flow(IntEnum):
    """Where control goes after an instruction."""

    NEXT = 0
    BRANCH = 1  # to a target, or on
    JUMP = 2  # to a target
    CALL = 3  # on, later
    END = 4  # away
    INDIRECT = 5  # somewhere


NEXT, BRANCH, JUMP, CALL = (int(kind) for kind in (Flow.NEXT, Flow.BRANCH, Flow.JUMP, Flow.CALL))
"""As plain numbers, for the loops that look at millions of instructions."""


# --- single instructions -----------------------------------------------------------------------------------------


def signed(value: int, bits: int) -> int:
    """The lowest `bits` of `value` as a number that may be negative."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def is_adrp(word: int) -> bool:
    return word & 0x9F000000 == 0x90000000


def is_adr(word: int) -> bool:
    return word & 0x9F000000 == 0x10000000


def address_formed(word: int, place: int) -> int:
    """What the `adr` or `adrp` at the address `place` puts into its register."""
    distance = signed((word >> 29 & 3) | (word >> 5 & 0x7FFFF) << 2, 21)
    return (place & -PAGE) + distance * PAGE if word >> 31 else place + distance


def added(word: int) -> int | None:
    """The number that `word` adds to a register, if it is `add` or `sub` (immediate) for 64 bits."""
    if word & 0xFF800000 not in (0x91000000, 0xD1000000):
        return None
    number = (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
    return -number if word >> 30 & 1 else number


def copied_register(word: int) -> int | None:
    """The register that `word` copies, if it is `mov` from one register of 64 bits to another."""
    return word >> 16 & 31 if word & 0xFFE0FFE0 == 0xAA0003E0 else None


def is_access(word: int) -> bool:
    """Whether `word` loads or stores."""
    return word >> 25 & 5 == 4


def reach_of_access(word: int) -> tuple[int, int] | None:
    """The bytes that `word`, which loads or stores, reaches from its base register on: the first, and the one behind
    the last. None where another register decides."""
    vector = word >> 26 & 1
    if word & 0x3A000000 == 0x28000000:  # ldp, stp
        size = (word >> 30) + 2 if vector else 3 if word >> 31 else 2
        start = 0 if word >> 23 & 3 == 1 else signed(word >> 15, 7) << size
        return start, start + (2 << size)
    if word & 0x3A000000 == 0x38000000:  # ldr, str
        size = word >> 30 | (4 if vector and word >> 23 & 1 else 0)
        if word >> 24 & 1:
            start = (word >> 10 & 0xFFF) << size
        elif word >> 21 & 1:
            return None
        else:
            start = 0 if word >> 10 & 3 == 1 else signed(word >> 12, 9)
        return start, start + (1 << size)
    return 0, 64  # several vectors, or none that a text is read by


def leaves(word: int) -> bool:
    """Whether control goes elsewhere after `word`, for good or until a call returns: not so at conditional branches."""
    return word & 0x7C000000 == 0x14000000 or word & 0xFE000000 == 0xD6000000


def number_set(word: int) -> int | None:
    """The number that `word` puts into a register, if it is `movz` without a shift."""
    return word >> 5 & 0xFFFF if word & 0x7FE00000 == 0x52800000 else None


def with_number(word: int, number: int) -> int:
    """The `movz` that is `word`, with another number."""
    assert 0 <= number < 1 << 16
    return word & ~(0xFFFF << 5) | number << 5


def adr(register: int, distance: int) -> int | None:
    """`adr register, . + distance`; None where that is too far."""
    if not -(1 << 20) <= distance < 1 << 20:
        return None
    return 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register


def adrp_to(register: int, place: int, address: int) -> int | None:
    """`adrp` at `place` to the page of `address`; None where that is too far."""
    pages = (address >> 12) - (place >> 12)
    if not -(1 << 20) <= pages < 1 << 20:
        return None
    return 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | register


def add(register: int, base: int, number: int) -> int:
    """`add register, base, #number`."""
    return 0x91000000 | (number & 0xFFF) << 10 | base << 5 | register


def jump(distance: int) -> int | None:
    """`b . + distance`; None where that is too far."""
    if not -(1 << 27) <= distance < 1 << 27:
        return None
    return 0x14000000 | distance >> 2 & 0x3FFFFFF


# --- all instructions of a segment -------------------------------------------------------------------------------


class Code:
    """The instructions of the segment `segment`, by number, and the flow of control between them."""

    def __init__(self, image: ElfImage, segment: Segment) -> None:
        start, end = _instructions(image, segment)
        data = bytes(image.data[start : end - (end - start) % 4])
        self.address, self.offset = start - segment.offset + segment.address, start
        self.array: Words = np.frombuffer(data, dtype="<u4")
        self.words = memoryview(data).cast("I")
        self._image = image
        self._ready = False

    def __len__(self) -> int:
        return len(self.words)

    def place(self, index: int) -> int:
        """The address of instruction `index`."""
        return self.address + 4 * index

    def formed(self, select: int, value: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The instructions that are `value` under the mask `select` (`adr` or `adrp`), and the addresses formed."""
        indexes = np.flatnonzero(self.array & np.uint32(select) == value).astype(np.int64)
        words = self.array[indexes].astype(np.int64)
        distances = (words >> 29 & 3) | (words >> 5 & 0x7FFFF) << 2
        distances -= (distances >> 20) << 21
        places = self.address + 4 * indexes
        return indexes, ((places & -PAGE) + distances * PAGE if value >> 31 else places + distances)

    def is_target(self, index: int) -> bool:
        """Whether control may come to instruction `index` from elsewhere than the one before."""
        self._prepare()
        return bool(self._targets[index] or self._starts[index])

    def flow(self, index: int) -> int:
        self._prepare()
        return self._flow[index]

    def sets(self, index: int, register: int) -> bool:
        """Whether instruction `index` changes `register`."""
        self._prepare()
        return bool(self._set[index] >> register & 1)

    def readers(self, index: int, register: int) -> Iterator[int]:
        """The instructions that may find in `register` what instruction `index` has put there, and have the register
        in a place where an instruction names what it reads from or computes with."""
        self._prepare()
        words, flow, changed, starts = self.words, self._flow, self._set, self._starts
        bit, end = 1 << register, len(words)
        work: list[int] = [index + 1]
        seen: set[int] = set()
        while work:
            here = work.pop()
            while 0 <= here < end and here not in seen and len(seen) < _FURTHEST:
                seen.add(here)
                word = words[here]
                if word >> 5 & 31 == register or word >> 16 & 31 == register:
                    yield here
                if changed[here] & bit:
                    break
                kind = flow[here]
                if kind in (NEXT, CALL):
                    here += 1
                elif kind == BRANCH:
                    work.append(here + self._distance(here))
                    here += 1
                elif kind == JUMP:
                    here += self._distance(here)
                    if 0 <= here < end and starts[here]:
                        break  # another function is called last
                else:
                    if kind == Flow.INDIRECT:
                        work.extend(self._in_function(self._loose, here))
                    break

    def setters(self, index: int, register: int) -> Iterator[int]:
        """The instructions that may have set `register` as instruction `index` finds it; ENTRY for the caller."""
        self._prepare()
        changed = self._set
        bit = 1 << register
        work = list(self._before(index))
        seen: set[int] = set()
        while work:
            here = work.pop()
            if here in seen:
                continue
            if here == ENTRY or len(seen) >= _FURTHEST:
                yield ENTRY
                if here != ENTRY:
                    return
                seen.add(here)
                continue
            seen.add(here)
            if changed[here] & bit:
                yield here
            else:
                work.extend(self._before(here))

    def values(self, index: int, register: int, depth: int = _DEEPEST) -> frozenset[int | None]:
        """The addresses that `register` may hold before instruction `index`; None for what is not known."""
        found: set[int | None] = set()
        if not depth or register == _ZERO:
            return frozenset((None,))
        for setter in self.setters(index, register):
            found |= self._values_set(setter, register, depth)
        return frozenset(found)

    def _values_set(self, index: int, register: int, depth: int) -> frozenset[int | None]:
        unknown: frozenset[int | None] = frozenset((None,))
        if index == ENTRY or self.words[index] & 31 != register:
            return unknown
        word = self.words[index]
        if is_adrp(word) or is_adr(word):
            return frozenset((address_formed(word, self.place(index)),))
        number, source = added(word), copied_register(word)
        if number is not None:
            before = self.values(index, word >> 5 & 31, depth - 1)
            return frozenset(None if one is None else one + number for one in before)
        return unknown if source is None else self.values(index, source, depth - 1)

    def _before(self, index: int) -> Iterator[int]:
        """The instructions that may come before `index`."""
        if index == 0 or (self._starts[index] and not self._targets[index]):
            yield ENTRY
            return
        if self._targets[index]:
            low, high = np.searchsorted(self._targets_sorted, (index, index + 1))
            for source in self._sources[low:high].tolist():
                # A jump to a function's beginning is a call that comes last.
                yield ENTRY if self._starts[index] and self._flow[source] == Flow.JUMP else source
        if self._starts[index]:
            return
        if self._flow[index - 1] not in (Flow.JUMP, Flow.END, Flow.INDIRECT):
            yield index - 1
        elif not self._targets[index] and self.words[index] != _NOP:  # those only fill up space
            yield from self._in_function(self._indirect, index) or (ENTRY,)

    def _in_function(self, indexes: list[int], index: int) -> list[int]:
        """Those of the sorted `indexes` that are in the same function as `index`."""
        number = bisect_right(self._functions, index)
        low = self._functions[number - 1] if number else index
        high = self._functions[number] if number < len(self._functions) else index
        return indexes[bisect_left(indexes, low) : bisect_left(indexes, high)]

    def _distance(self, index: int) -> int:
        word = self.words[index]
        if word & 0x7C000000 == 0x14000000:
            return signed(word, 26)
        return signed(word >> 5, 14) if word & 0x7E000000 == 0x36000000 else signed(word >> 5, 19)

    def _prepare(self) -> None:
        """Reads all instructions, once, when the first question is asked."""
        if self._ready:
            return
        self._ready = True
        functions = (np.array(function_starts(self._image), dtype=np.int64) - self.address) // 4
        functions = np.unique(functions[(functions >= 0) & (functions < len(self.words))])
        kinds = _flow_kinds(self.array)
        _mark_final_calls(kinds, self.array, functions)
        self._flow = memoryview(kinds.tobytes())
        self._set = memoryview(_registers_set(self.array).tobytes()).cast("I")
        sources = np.flatnonzero((kinds == Flow.BRANCH) | (kinds == Flow.JUMP))
        targets = sources + _distances(self.array[sources])
        inside = (targets >= 0) & (targets < len(kinds))
        order = np.argsort(targets[inside], kind="stable")
        self._sources = sources[inside][order]
        self._targets_sorted = targets[inside][order]
        is_target = np.zeros(len(kinds), dtype=np.uint8)
        is_target[self._targets_sorted] = 1
        is_start = np.zeros(len(kinds), dtype=np.uint8)
        is_start[functions] = 1
        self._targets, self._starts = memoryview(is_target.tobytes()), memoryview(is_start.tobytes())
        self._functions: list[int] = functions.tolist()
        leaves = (kinds == Flow.JUMP) | (kinds == Flow.END) | (kinds == Flow.INDIRECT)
        loose = np.flatnonzero(leaves[:-1] & (is_target[1:] == 0) & (is_start[1:] == 0)) + 1
        self._loose: list[int] = loose.tolist()
        self._indirect: list[int] = np.flatnonzero(kinds == Flow.INDIRECT).tolist()


def _instructions(image: ElfImage, segment: Segment) -> tuple[int, int]:
    """Where in the file the instructions of `segment` begin and end: at those of its sections, if it has some. Linkers
    put constants into the same segment."""
    sections = [
        section
        for section in image.sections
        if section.flags & SHF_EXECINSTR
        and segment.offset <= section.offset < segment.offset + segment.size
        and section.kind != SHT_NOBITS
    ]
    if not sections:
        return segment.offset, segment.offset + segment.size
    start = min(section.offset for section in sections)
    end = max(section.offset + section.size for section in sections)
    return start + -start % 4, min(end, segment.offset + segment.size)


def _any_of(words: Words, *patterns: tuple[int, int]) -> Mask:
    """Which of `words` are, under a mask, one of `patterns` (mask, value)."""
    found = np.zeros(len(words), dtype=np.bool_)
    for mask, value in patterns:
        found |= (words & np.uint32(mask)) == value
    return found


_CALLS = ((0xFC000000, 0x94000000), (0xFFFFFC1F, 0xD63F0000), (0xFEFFF800, 0xD63F0800))  # bl, blr, blraa and its like
_BRANCHES = ((0xFF000000, 0x54000000), (0x7E000000, 0x34000000), (0x7E000000, 0x36000000))  # b.cond, cbz, tbz
_ENDS = ((0xFFFFFC1F, 0xD65F0000), (0xFFFFFBFF, 0xD65F0BFF), (0xFFE0001F, 0xD4200000), (0xFFFF0000, 0))  # ret, brk, udf


def _flow_kinds(words: Words) -> NDArray[np.uint8]:
    kinds = np.zeros(len(words), dtype=np.uint8)
    kinds[_any_of(words, *_BRANCHES)] = Flow.BRANCH
    kinds[_any_of(words, (0xFC000000, 0x14000000))] = Flow.JUMP
    kinds[_any_of(words, *_CALLS)] = Flow.CALL
    kinds[_any_of(words, *_ENDS)] = Flow.END
    kinds[_any_of(words, (0xFFFFFC1F, 0xD61F0000), (0xFEFFF800, 0xD61F0800))] = Flow.INDIRECT  # br, braa
    return kinds


def _mark_final_calls(kinds: NDArray[np.uint8], words: Words, functions: NDArray[np.int64]) -> None:
    """Makes calls of functions that never return ends: those that a function's last instruction calls."""
    if not len(functions):
        return
    last = functions[functions > 0] - 1
    for _ in range(_LONGEST_FILLING):
        last = np.where((words[last] == _NOP) & (last > 0), last - 1, last)
    last = last[words[last] & np.uint32(0xFC000000) == 0x94000000]
    calls = np.flatnonzero(words & np.uint32(0xFC000000) == 0x94000000)
    never = np.unique(last + _distances(words[last]))
    kinds[calls[np.isin(calls + _distances(words[calls]), never)]] = Flow.END


def _distances(words: Words) -> NDArray[np.int64]:
    """How many instructions each of the branches `words` goes on by."""
    wide = words.astype(np.int64)
    bits = np.full(len(words), 19)
    field = wide >> 5
    jumps, tests = wide & 0x7C000000 == 0x14000000, wide & 0x7E000000 == 0x36000000
    field[jumps], bits[jumps] = wide[jumps], 26
    bits[tests] = 14
    field &= (1 << bits) - 1
    distances: NDArray[np.int64] = field - ((field >> (bits - 1)) << bits)
    return distances


def _registers_set(words: Words) -> Words:
    """For each instruction the registers that it changes, one bit each; none for the zero register and the stack."""
    first = np.uint32(1) << (words & np.uint32(31))
    base = np.uint32(1) << (words >> np.uint32(5) & np.uint32(31))
    group = words >> np.uint32(25) & np.uint32(15)
    result = np.zeros(len(words), dtype=np.uint32)
    computes = (group & 14 == 8) | ((group & 7 == 5) & ~_any_of(words, (0x1FE00000, 0x1A400000)))  # but not ccmp
    computes |= _system_reads(words) | _moves_from_vector(words)
    result[computes] = first[computes]
    accesses = group & 5 == 4
    _add_accesses(result, np.flatnonzero(accesses), words, first, base)
    calls = _any_of(words, *_CALLS)
    result[calls] = _SPOILED_BY_CALL
    result[_calls_for_thread_variables(words)] = 1 << 0 | 1 << 1 | 1 << 30
    result[_any_of(words, (0xFFE0001F, 0xD4000001))] = 1  # svc
    return result & np.uint32(0x7FFFFFFF)


def _system_reads(words: Words) -> Mask:
    return _any_of(words, (0xFFF00000, 0xD5300000), (0xFFF80000, 0xD5280000))  # mrs, sysl


def _moves_from_vector(words: Words) -> Mask:
    """fcvt… and fmov to a general register, umov, smov."""
    operation = words >> np.uint32(16) & np.uint32(7)
    moves = _any_of(words, (0x5F20FC00, 0x1E200000)) & ((operation <= 1) | ((operation >= 4) & (operation <= 6)))
    moves |= _any_of(words, (0x5F200000, 0x1E000000)) & (operation <= 1)
    return moves | _any_of(words, (0xBFE0FC00, 0x0E003C00), (0xBFE0FC00, 0x0E002C00))


def _calls_for_thread_variables(words: Words) -> Mask:
    """`ldr x1, [x0]; add x0, x0, #…; blr x1`: a call by TLS descriptor, which changes no other register."""
    found = np.zeros(len(words), dtype=np.bool_)
    found[2:] = (
        (words[2:] == 0xD63F0020)
        & (words[1:-1] & np.uint32(0xFFC003FF) == 0x91000000)
        & (words[:-2] & np.uint32(0xFFC003FF) == 0xF9400001)
    )
    return found


def _add_accesses(result: Words, indexes: NDArray[np.intp], all_words: Words, first: Words, base: Words) -> None:
    """Adds what the loads and stores at `indexes` set: registers loaded, and those that are counted on."""
    words, first, base = all_words[indexes], first[indexes], base[indexes]
    second = np.uint32(1) << (words >> np.uint32(10) & np.uint32(31))
    status = np.uint32(1) << (words >> np.uint32(16) & np.uint32(31))
    changed = np.zeros(len(words), dtype=np.uint32)
    general = words & np.uint32(1 << 26) == 0
    opcode = words >> np.uint32(22) & np.uint32(3)
    literal = _any_of(words, (0x3B000000, 0x18000000)) & general & (words >> np.uint32(30) != 3)
    changed[literal] |= first[literal]
    pair = _any_of(words, (0x3A000000, 0x28000000))
    loaded = pair & general & (opcode & 1 == 1)
    changed[loaded] |= first[loaded] | second[loaded]
    counted = pair & (words & np.uint32(1 << 23) != 0)
    single = _any_of(words, (0x3A000000, 0x38000000))
    prefetch = words & np.uint32(0xC4C00000) == 0xC0800000
    in_memory = _any_of(words, (0x3B200C00, 0x38200000))  # ldadd and its like
    loaded = single & general & (((opcode != 0) & ~prefetch) | in_memory)
    changed[loaded] |= first[loaded]
    counted |= single & _any_of(words, (0x3B200400, 0x38000400))
    counted |= _any_of(words, (0xBE800000, 0x0C800000))  # ld1 and its like, from a register that is counted on
    changed[counted] |= base[counted]
    exclusive = _any_of(words, (0x3F000000, 0x08000000))
    changed[exclusive] |= first[exclusive] | second[exclusive] | status[exclusive] | status[exclusive] << np.uint32(1)
    result[indexes] = changed


# --- the table of functions --------------------------------------------------------------------------------------

_FRAMES_HEADER = struct.Struct("<BBBBiI")
_EXPECTED_FRAMES = (1, 0x1B, 0x03, 0x3B)
"""The version, and how numbers are kept: as all linkers do it, signed words of 32 bits that count from the table."""


def function_starts(image: ElfImage) -> list[int]:
    """The addresses where functions begin, as far as the table for unwinding tells."""
    segment = image.segment(PT_GNU_EH_FRAME)
    if segment is None or segment.size < _FRAMES_HEADER.size:
        return []
    *encoding, _, count = _FRAMES_HEADER.unpack_from(image.data, segment.offset)
    if tuple(encoding) != _EXPECTED_FRAMES or _FRAMES_HEADER.size + 8 * count > segment.size:
        return []
    start = segment.offset + _FRAMES_HEADER.size
    rows = np.frombuffer(bytes(image.data[start : start + 8 * count]), dtype="<i4")
    return [segment.address + distance for distance in rows[::2].tolist()]
