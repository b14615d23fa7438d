"""Tiny ELF files for tests: a segment with code, one with texts, a table of functions and variables if wanted."""

from __future__ import annotations

import struct
from collections.abc import Sequence

CODE = 0x1000
TEXTS = 0x2000
VARIABLES = 0x8000
"""Where variables are, of which all but the first eight bytes are zero at first."""
_SECTIONS = 0x600


def elf(
    machine: int,
    code: bytes,
    texts: bytes,
    *,
    functions: Sequence[int] = (),
    texts_at: int = TEXTS,
    variables: int = 0,
    variables_at: int = VARIABLES,
    together: bool = False,
) -> bytes:
    """A shared library whose code is at the address CODE, whose texts are at `texts_at`, and which has so many bytes of
    `variables` at `variables_at`; addresses are offsets. `together`: code and texts are one segment, and a section says
    where code is."""
    frames = b""
    if functions:
        frames = struct.pack("<BBBBiI", 1, 0x1B, 0x03, 0x3B, 0, len(functions))
    frames_at = 0x800
    for start in functions:
        frames += struct.pack("<ii", start - frames_at, 0)
    headers = [
        (1, 5, 0, 0, 0, texts_at, texts_at, 0x10000),
        (1, 4, texts_at, texts_at, texts_at, len(texts), len(texts), 0x10000),
        (4, 4, 0x400, 0x400, 0x400, 16, 16, 4),
        (0x6474E550, 4, frames_at, frames_at, frames_at, len(frames), len(frames), 4),
    ]
    if variables:
        headers.insert(2, (1, 6, variables_at, variables_at, variables_at, 8, variables, 0x10000))
    if together:
        end = texts_at + len(texts)
        headers[:2] = [(1, 5, 0, 0, 0, end, end, 0x10000)]
    data = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 3, machine, 1, CODE, 64, _SECTIONS if together else 0),
        *(0, 64, 56, len(headers), 64, 2 if together else 0, 0),
    )
    for header in headers:
        data += struct.pack("<IIQQQQQQ", *header)
    if together:
        section = struct.pack("<IIQQQQIIQQ", 0, 1, 6, CODE, CODE, len(code), 0, 0, 4, 0)
        data = data.ljust(_SECTIONS + 64, b"\0") + section
    data = data.ljust(frames_at, b"\0") + frames
    data = data.ljust(CODE, b"\0") + code
    data = data.ljust(texts_at, b"\0") + texts
    return data.ljust(variables_at + 8, b"\0") if variables else data
