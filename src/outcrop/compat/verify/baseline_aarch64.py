"""Which instructions of aarch64 code are beyond the baseline, ARMv8.0-A with floating point and vectors: so without
checksums (CRC32) and cryptography, which not every processor of that version has.

Every instruction has 4 bytes. Each extension is told by bits that have to have a certain value. What does nothing on an
old processor is among the hints and no finding: `paciasp`, `autiasp`, `bti`. Nor is an atomic instruction in one of the
functions that GCC puts into every program for them: it stands between a branch around it, where the kernel did not tell
of it when the program began, and a return (`-moutline-atomics`; `lse.S` of libgcc).

Source: Arm Architecture Reference Manual for A-profile, chapter C4, "A64 Instruction Set Encoding".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcrop.compat.verify.instruction import Place, Scanned

_Words = NDArray[Any]

_EXTENSIONS: tuple[tuple[str, int, int], ...] = (
    ("sve", 0x1E000000, 0x04000000),
    ("sme", 0x9E000000, 0x80000000),
    ("mte", 0xBFC0C000, 0x91800000),
    ("cssc", 0x7FC00000, 0x11C00000),
    ("hbc", 0xFF000010, 0x54000010),
    ("cmpbr", 0x7F000000, 0x74000000),
    ("pauth", 0xFE1FF800, 0xD61F0800),
    # System
    ("wfxt", 0xFFFFFFC0, 0xD5031000),
    ("xs", 0xFFFFF3FF, 0xD503323F),
    ("sb", 0xFFFFFFFF, 0xD50330FF),
    ("flagm", 0xFFFFFF9F, 0xD500401F),
    ("ssbs", 0xFFFFF0FF, 0xD503403F),
    ("dit", 0xFFFFF0FF, 0xD503405F),
    ("sme", 0xFFFFF0FF, 0xD503407F),
    ("mte", 0xFFFFF0FF, 0xD503409F),
    ("ssbs", 0xFFDFFFE0, 0xD51B42C0),
    ("dit", 0xFFDFFFE0, 0xD51B42A0),
    ("rng", 0xFFFFFFC0, 0xD53B2400),
    ("dpb", 0xFFFFFEE0, 0xD50B7C20),
    ("mte", 0xFFFFFFE0, 0xD50B7460),
    ("mte", 0xFFFFFFE0, 0xD50B7480),
    ("gcs", 0xFFDFFF00, 0xD50B7700),
    # Loads and stores
    ("rcpc", 0x3FFFFC00, 0x38BFC000),
    ("ls64", 0xFFFFBC00, 0xF83F9000),
    ("lse", 0x3F200C00, 0x38200000),
    ("lsfe", 0x3F200C00, 0x3C200000),
    ("lse", 0x3FA07C00, 0x08A07C00),
    ("lse", 0xBFA07C00, 0x08207C00),
    ("lor", 0x3FA08000, 0x08800000),
    ("gcs", 0xFFFFEC00, 0xD91F0C00),
    ("mte", 0xFF200000, 0xD9200000),
    ("rcpc2", 0x3F200C00, 0x19000000),
    ("mops", 0x3B200C00, 0x19000400),
    ("rcpc3", 0x3B000000, 0x19000000),
    ("rcpc3", 0xBFBFFC00, 0x0D018400),
    ("pauth", 0xFF200400, 0xF8200400),
    ("mte", 0xFE400000, 0x68000000),
    # Registers
    ("crc32", 0x7FE0E000, 0x1AC04000),
    ("mte", 0xDFE0FC00, 0x9AC00000),
    ("mte", 0xFFE0F800, 0x9AC01000),
    ("pauth", 0xFFE0FC00, 0x9AC03000),
    ("cssc", 0x7FE0F000, 0x1AC06000),
    ("pauth", 0xFFFF0000, 0xDAC10000),
    ("cssc", 0x7FFFF800, 0x5AC01800),
    ("cssc", 0x7FFFFC00, 0x5AC02000),
    ("flagm", 0xFFE07C10, 0xBA000400),
    ("flagm", 0xFFFFBC1F, 0x3A00080D),
    ("cpa", 0xBFE0E000, 0x9A002000),
    ("cpa", 0xFFE00000, 0x9B600000),
    # Floating point
    ("jscvt", 0xFFFFFC00, 0x1E7E0000),
    ("frintts", 0xFFBE7C00, 0x1E284000),
    ("bf16", 0xFFFFFC00, 0x1E634000),
    ("fp16", 0x5FE00000, 0x1EE00000),
    ("fp16", 0x5FE00000, 0x1EC00000),
    ("fp16", 0xFFC00000, 0x1FC00000),
    # Vectors
    ("fp16", 0x9F60C400, 0x0E400400),
    ("fp16", 0xDF60C400, 0x5E400400),
    ("fp16", 0x9F7E0C00, 0x0E780800),
    ("fp16", 0xDF7E0C00, 0x5E780800),
    ("fp16", 0xBF7FCC00, 0x0E30C800),
    ("fp16", 0xFF7FCC00, 0x5E30C800),
    ("fp16", 0xBFF8FC00, 0x0F00FC00),
    ("fp16", 0xBFC0B400, 0x0F001000),
    ("fp16", 0x9FC0F400, 0x0F009000),
    ("fp16", 0xFFC0B400, 0x5F001000),
    ("fp16", 0xDFC0F400, 0x5F009000),
    ("fp16", 0x9FF0FC00, 0x0F10E400),
    ("fp16", 0x9FF0FC00, 0x0F10FC00),
    ("fp16", 0xDFF0FC00, 0x5F10E400),
    ("fp16", 0xDFF0FC00, 0x5F10FC00),
    ("rdm", 0xBF20F400, 0x2E008400),
    ("rdm", 0xFF20F400, 0x7E008400),
    ("rdm", 0xBF00D400, 0x2F00D000),
    ("rdm", 0xFF00D400, 0x7F00D000),
    ("dotprod", 0x9FE0FC00, 0x0E809400),
    ("dotprod", 0x9FC0F400, 0x0F80E000),
    ("i8mm", 0xBFE0FC00, 0x0E809C00),
    ("i8mm", 0xDFE0FC00, 0x4E80A400),
    ("i8mm", 0xFFE0FC00, 0x4E80AC00),
    ("i8mm", 0xBF40F400, 0x0F00F000),
    ("bf16", 0xBFE0FC00, 0x2E40FC00),
    ("bf16", 0xFFE0FC00, 0x6E40EC00),
    ("bf16", 0xBFE0FC00, 0x2EC0FC00),
    ("bf16", 0xBF40F400, 0x0F40F000),
    ("bf16", 0xBFFFFC00, 0x0EA16800),
    ("fcma", 0xBF20E400, 0x2E00C400),
    ("fcma", 0xBF20EC00, 0x2E00E400),
    ("fcma", 0xBF009400, 0x2F001000),
    ("fhm", 0xBF20FC00, 0x0E20EC00),
    ("fhm", 0xBF20FC00, 0x2E20CC00),
    ("fhm", 0xBFC0B400, 0x0F800000),
    ("fhm", 0xBFC0B400, 0x2F808000),
    ("aes", 0xFF3E0C00, 0x4E280800),
    ("aes", 0xBFE0FC00, 0x0EE0E000),
    ("sha", 0xFF208C00, 0x5E000000),
    ("sha", 0xFF3E0C00, 0x5E280800),
    ("sha3", 0xFF000000, 0xCE000000),
    ("frintts", 0x9FBFEC00, 0x0E21E800),
)
"""Name, the bits that are looked at, and what they have to be. Of several that fit, the first holds."""

_BASELINE = ((0xFFFFFC00, 0x1EE24000), (0xFFFFFC00, 0x1EE2C000))
"""Numbers of 16 bits made longer: the only instructions for them that were always there."""

_IDENTIFICATION = (0xFFFFF800, 0xD5380000)
"""`mrs` of a register that says what the processor has, ID_AA64…_EL1: the kernel answers."""

_BRANCH_AROUND = (0xFF00001F, 0x34000010)
"""`cbz w16, …`, with which such a function of libgcc goes the old way."""

_RETURN = 0xD65F03C0

_TOP = 21


def _may_fit() -> NDArray[np.bool_]:
    """For the upper bits of an instruction, whether an extension is possible."""
    tops = np.arange(1 << 32 - _TOP, dtype=np.uint32)
    fits = np.zeros(len(tops), bool)
    for _, mask, value in _EXTENSIONS:
        fits |= tops & (mask >> _TOP) == value >> _TOP
    return fits


_MAY_FIT = _may_fit()


def scan(code: bytes) -> Scanned:
    """What `code` has that is beyond the baseline, and whether it asks what the processor has."""
    words = _words(code)
    names = {_extension(int(word)) for word in np.unique(words[_possible(words)])}
    mask, value = _IDENTIFICATION
    return Scanned(frozenset(names - {""}), bool((words & mask == value).any()))


def places(code: bytes, address: int, wanted: Collection[str]) -> dict[str, Place]:
    """Where the extensions `wanted` are in `code`, which is at `address` in memory."""
    words = _words(code)
    found: dict[str, Place] = {}
    for number in np.flatnonzero(_possible(words)):
        word = int(words[number])
        extension = _extension(word)
        if extension in wanted:
            first = found.get(extension) or Place(address + 4 * int(number), f"{word:#010x}", 0)
            found[extension] = Place(first.address, first.instruction, first.number + 1)
    return found


def _words(code: bytes) -> _Words:
    return np.frombuffer(code, "<u4", len(code) // 4).astype(np.uint32, copy=False)


def _possible(words: _Words) -> NDArray[np.bool_]:
    """Which of `words` may be beyond the baseline, without those that are branched around."""
    possible: NDArray[np.bool_] = _MAY_FIT[words >> _TOP]
    mask, value = _BRANCH_AROUND
    around = words[:-2] & mask == value
    possible[1:-1] &= ~(around & (words[2:] == _RETURN))
    return possible


def _extension(word: int) -> str:
    if any(word & mask == value for mask, value in _BASELINE):
        return ""
    return next((name for name, mask, value in _EXTENSIONS if word & mask == value), "")
