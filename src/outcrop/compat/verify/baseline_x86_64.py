"""Which instructions of x86_64 code are beyond the baseline, x86-64-v1: SSE2 and what came before it.

Code is decoded from its beginning to its end; where something is no instruction (tables between functions), decoding
goes on behind it, and is in step again after a few. What does nothing on an old processor, or the same as on a new one,
is no finding: `endbr64` and `rdsspq` are among the instructions that are reserved for doing nothing, and `tzcnt` is
`bsf` with a prefix that is not looked at, which compilers write on purpose. `lzcnt` is one: it is taken for `bsr`,
which gives another number.

Sources: System V ABI, AMD64 supplement, "Micro-Architecture Levels"; iced-x86 knows the feature of each instruction
from Intel's and AMD's manuals.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from operator import attrgetter
from typing import Any, cast

from iced_x86 import Code, CpuidFeature, Decoder, DecoderOptions, Instruction

from outcrop.compat.verify.instruction import Place, Scanned

_NAMES = {value: name.lower() for name, value in vars(CpuidFeature).items() if isinstance(value, int)}
_BASELINE = frozenset(
    (
        *("intel8086", "intel186", "intel286", "intel386", "intel486", "x64", "fpu", "fpu287", "fpu387"),
        *("cpuid", "tsc", "msr", "rdpmc", "cx8", "cmov", "fxsr", "syscall", "clfsh", "mmx", "sse", "sse2"),
        *("multibytenop", "pause", "cet_ibt", "prefetchw"),
    )
)
"""The last line does nothing where it is not known."""

_HARMLESS = frozenset({Code.INVALID, Code.RDSSPD_R32, Code.RDSSPQ_R64})
_LAHF = frozenset({Code.LAHF, Code.SAHF})
"""Processors of 32 bits always had them, the first of 64 bits did not."""

_CODE = attrgetter("code")


def scan(code: bytes) -> Scanned:
    """What `code` has that is beyond the baseline, and whether it asks what the processor has (`cpuid`)."""
    found = set(map(_CODE, _decoder(code, 0)))
    return Scanned(frozenset().union(*map(_extensions, found)), Code.CPUID in found)


def places(code: bytes, address: int, wanted: Collection[str]) -> dict[str, Place]:
    """Where the extensions `wanted` are in `code`, which is at `address` in memory."""
    found: dict[str, Place] = {}
    for instruction in _decoder(code, address):
        for extension in _extensions(instruction.code):
            if extension in wanted:
                first = found.get(extension) or Place(instruction.ip, str(instruction), 0)
                found[extension] = Place(first.address, first.instruction, first.number + 1)
    return found


def _decoder(code: bytes, address: int) -> Decoder:
    return Decoder(64, code, DecoderOptions.NO_MPFX_0FBC, ip=address)


@cache
def _extensions(code: int) -> frozenset[str]:
    if code in _HARMLESS:
        return frozenset()
    if code in _LAHF:
        return frozenset({"lahf"})
    instruction = Instruction()
    instruction.code = cast("Any", code)
    return frozenset(_NAMES[one] for one in instruction.cpuid_features()) - _BASELINE
