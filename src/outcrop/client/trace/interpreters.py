"""Who the kernel starts for a program: the interpreter that its first line (`#!`) or its ELF header names.

No system call of the program shows these, since the kernel opens them itself. Sources: execve(2), elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

MAXIMUM_INTERPRETERS = 5
"""How many a program may have, one behind the other: Linux follows four `#!` lines, and ELF's comes last."""

_SCRIPT_LINE_BYTES = 256
"""BINPRM_BUF_SIZE: what Linux reads of a `#!` line."""

_ELF_MAGIC = b"\x7fELF"
_IDENTIFICATION_BYTES = 16
_MAXIMUM_PROGRAM_HEADERS = 4096
_MAXIMUM_PATH_BYTES = 4096
_PT_INTERP = 3

ReadAt = Callable[[int, int], bytes]
"""Reads so many bytes at an offset, or what there is of them. Arguments: offset, size."""


def interpreter_of(read: ReadAt) -> bytes | None:
    """The interpreter that the program whose bytes `read` gives asks for; None for one that needs none, and for what is
    no program."""
    start = read(0, _SCRIPT_LINE_BYTES)
    if start.startswith(b"#!"):
        words = start[2:].partition(b"\n")[0].split(None, 1)
        return words[0] if words else None
    return _elf_interpreter(start, read) if start.startswith(_ELF_MAGIC) else None


def _elf_interpreter(start: bytes, read: ReadAt) -> bytes | None:
    wide, order = start[4:5] == b"\x02", ">" if start[5:6] == b"\x02" else "<"
    # From e_type on: the program headers' offset is the fifth field, their size and number are the ninth and tenth.
    header = struct.Struct(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"))
    # p_type, [p_flags,] p_offset, p_vaddr, p_paddr, p_filesz
    segment = struct.Struct(order + ("IIQQQQ" if wide else "IIIII"))
    try:
        fields = header.unpack_from(start, _IDENTIFICATION_BYTES)
        offset, size, number = fields[4], fields[8], fields[9]
        if size < segment.size or number > _MAXIMUM_PROGRAM_HEADERS:
            return None
        table = read(offset, size * number)
        for index in range(number):
            kind, *rest = segment.unpack_from(table, index * size)
            if kind == _PT_INTERP:
                place, length = (rest[1] if wide else rest[0]), rest[-1]
                return read(place, min(length, _MAXIMUM_PATH_BYTES)).rstrip(b"\0") or None
    except struct.error:
        return None
    return None
