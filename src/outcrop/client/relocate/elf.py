"""The strings of an ELF file that the kernel and the dynamic loader read, and where they are.

Only program headers are followed, as the loader does, so files without sections are fine. 32 and 64 bits, both byte
orders. Every number in the file is checked before it is used.

Sources: System V ABI, "Object Files" and "Dynamic Linking"; `elf.h` of the GNU C library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from outcrop.client.relocate.places import Data
from outcrop.errors import FormatError

MAGIC = b"\x7fELF"

_CLASS, _ENCODING, _IDENT_BYTES = 4, 5, 16
_BITS = {1: 32, 2: 64}
_ORDERS = {1: "<", 2: ">"}
_HEADER = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
_SECTION_INFO = {32: (28, "I"), 64: (44, "I")}
_PROGRAM_HEADER = {32: "IIIIIIII", 64: "IIQQQQQQ"}
_DYNAMIC_ENTRY = {32: "iI", 64: "qQ"}

_MANY_PROGRAM_HEADERS = 0xFFFF
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PF_EXECUTE, _PF_WRITE = 1, 2
_DT_NULL, _DT_STRTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ = 0, 5, 7, 8, 10
_ET_EXEC = 2

MAXIMUM_PROGRAM_HEADERS = 1 << 16
"""More than any linker writes; a limit for files that lie."""


class ElfString(Enum):
    """What a string is for."""

    INTERPRETER = "interpreter"
    RUN_PATH = "run path"
    LIBRARY = "library name"


_STRING_TAGS = {
    1: ElfString.LIBRARY,  # DT_NEEDED
    14: ElfString.LIBRARY,  # DT_SONAME
    15: ElfString.RUN_PATH,  # DT_RPATH
    29: ElfString.RUN_PATH,  # DT_RUNPATH
    0x6FFFFEFA: ElfString.RUN_PATH,  # DT_CONFIG
    0x6FFFFEFB: ElfString.LIBRARY,  # DT_DEPAUDIT
    0x6FFFFEFC: ElfString.LIBRARY,  # DT_AUDIT
    0x7FFFFFFD: ElfString.LIBRARY,  # DT_AUXILIARY
    0x7FFFFFFF: ElfString.LIBRARY,  # DT_FILTER
}


@dataclass(frozen=True, slots=True)
class LocatedString:
    """A string that ends with a zero byte, `offset` bytes into the file."""

    kind: ElfString
    offset: int
    value: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.value)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file (bytes `offset` to `offset + size`) that is in memory from `address` on, whatever is added to
    all addresses. `kind` is the type of a program header."""

    kind: int
    offset: int
    address: int
    size: int
    executable: bool = False
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Elf:
    """An ELF file, as far as relocation cares. `machine`: the number of the processor. `fixed`: addresses are what they
    are, nothing is added. `loaded`: what is in memory. `relocations`: the table of those with addends, as a part of the
    file; None without one."""

    bits: int
    little_endian: bool
    machine: int
    fixed: bool
    strings: tuple[LocatedString, ...]
    loaded: tuple[Segment, ...] = ()
    relocations: Segment | None = None

    def address(self, offset: int) -> int | None:
        """Where the byte at `offset` of the file is in memory; None if it is not."""
        for segment in self.loaded:
            if segment.offset <= offset < segment.offset + segment.size:
                return offset - segment.offset + segment.address
        return None

    def values(self, kind: ElfString) -> tuple[bytes, ...]:
        """The strings of that kind, in the order of the file's tables."""
        return tuple(string.value for string in self.strings if string.kind is kind)


def read_elf(data: Data) -> Elf:
    """What `data` holds. Raises FormatError where it breaks the rules."""
    return _Reader(data).elf()


def _refuse(field: str, problem: str) -> NoReturn:
    raise FormatError(what="an ELF file", field=field, problem=problem)


class _Reader:
    def __init__(self, data: Data) -> None:
        self._data = data
        ident = data[:_IDENT_BYTES]
        if len(ident) < _IDENT_BYTES or not ident.startswith(MAGIC):
            _refuse("the identification", "is missing")
        if ident[_CLASS] not in _BITS:
            _refuse("the class", f"is {ident[_CLASS]}")
        if ident[_ENCODING] not in _ORDERS:
            _refuse("the byte order", f"is {ident[_ENCODING]}")
        self._bits = _BITS[ident[_CLASS]]
        self._order = _ORDERS[ident[_ENCODING]]
        self._header = self._unpack(_HEADER[self._bits], _IDENT_BYTES, "the header")
        self._relocations: Segment | None = None

    def elf(self) -> Elf:
        segments = self._segments()
        strings: list[LocatedString] = []
        for segment in segments:
            # Files that hold only debugging information keep the headers, but not the bytes.
            if segment.size and segment.kind == _PT_INTERP:
                strings.append(self._string(ElfString.INTERPRETER, segment.offset, segment.offset + segment.size))
            elif segment.size and segment.kind == _PT_DYNAMIC:
                strings += self._dynamic_strings(segment, segments)
        kind, machine = self._header[:2]
        loaded = tuple(segment for segment in segments if segment.kind == _PT_LOAD)
        return Elf(self._bits, self._order == "<", machine, kind == _ET_EXEC, tuple(strings), loaded, self._relocations)

    def _unpack(self, layout: str, offset: int, field: str) -> tuple[int, ...]:
        layout = self._order + layout
        if offset < 0 or offset + struct.calcsize(layout) > len(self._data):
            _refuse(field, "lies outside of the file")
        return struct.unpack(layout, self._data[offset : offset + struct.calcsize(layout)])

    def _segments(self) -> tuple[Segment, ...]:
        header = self._header
        table, sections, size, number = header[4], header[5], header[8], header[9]
        if number == _MANY_PROGRAM_HEADERS:
            offset, layout = _SECTION_INFO[self._bits]
            (number,) = self._unpack(layout, sections + offset, "the first section header")
        if not number:
            return ()
        layout = _PROGRAM_HEADER[self._bits]
        if size < struct.calcsize("<" + layout):
            _refuse("the size of a program header", f"is {size}")
        if number > MAXIMUM_PROGRAM_HEADERS:
            _refuse("the number of program headers", f"is {number}")
        segments = []
        for index in range(number):
            fields = self._unpack(layout, table + index * size, "a program header")
            if self._bits == 64:
                kind, flags, offset, address, _, in_file, _, _ = fields
            else:
                kind, offset, address, _, in_file, _, flags, _ = fields
            executable, writable = bool(flags & _PF_EXECUTE), bool(flags & _PF_WRITE)
            segments.append(Segment(kind, offset, address, in_file, executable, writable))
        return tuple(segments)

    def _dynamic_strings(self, dynamic: Segment, segments: tuple[Segment, ...]) -> list[LocatedString]:
        wanted: list[tuple[ElfString, int]] = []
        table = size = relocations = relocations_size = 0
        layout = _DYNAMIC_ENTRY[self._bits]
        step = struct.calcsize("<" + layout)
        for offset in range(dynamic.offset, dynamic.offset + dynamic.size - step + 1, step):
            tag, value = self._unpack(layout, offset, "the dynamic section")
            if tag == _DT_NULL:
                break
            if tag == _DT_STRTAB:
                table = value
            elif tag == _DT_STRSZ:
                size = value
            elif tag == _DT_RELA:
                relocations = value
            elif tag == _DT_RELASZ:
                relocations_size = value
            elif tag in _STRING_TAGS:
                wanted.append((_STRING_TAGS[tag], value))
        if relocations and relocations_size:
            offset = self._file_offset(relocations, segments, "the address of the relocations")
            self._relocations = Segment(0, offset, relocations, relocations_size)
        if not wanted:
            return []
        start = self._file_offset(table, segments, "the address of the dynamic strings")
        return [self._string(kind, start + offset, start + size) for kind, offset in wanted]

    def _file_offset(self, address: int, segments: tuple[Segment, ...], field: str) -> int:
        for segment in segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        _refuse(field, "is in no segment of the file")

    def _string(self, kind: ElfString, offset: int, limit: int) -> LocatedString:
        end = self._data.find(b"\0", offset, min(limit, len(self._data)))
        if end < 0:
            _refuse(f"the {kind.value}", "does not end inside its table")
        return LocatedString(kind, offset, self._data[offset:end])
