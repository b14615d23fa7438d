"""An ELF file that is being changed: its headers, its dynamic section, and a new segment at its end.

Only what the layer's families have: 64 bits, little endian. A changed file gets one more loadable segment, which holds
longer strings than those it was built with. The segment's entry in the program header table takes the place of one of
the notes' (a linker writes two, of which nothing needs both), so no other byte of the file has to move.

The dynamic loader itself gets none (`in_padding`): kernels before 6.7 do not clear its variables if a segment stands
behind them. Its strings go into the zeros that fill up the last pages of segments that are only read.

Sources: System V ABI, "Object Files", "Program Loading and Dynamic Linking"; `elf.h` of the GNU C library.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from outcrop.errors import FormatError

MAGIC = b"\x7fELF"
SUPPORTED = MAGIC + b"\x02\x01"
"""The beginning of a file of 64 bits, little endian."""

ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR = 1, 2, 3, 4, 6
PT_GNU_EH_FRAME = 0x6474E550
PF_X, PF_W, PF_R = 1, 2, 4
SHT_PROGBITS, SHT_STRTAB, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 1, 3, 7, 8, 11
SHF_ALLOC, SHF_EXECINSTR = 2, 4
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 5, 10, 14, 15, 29
DT_RELA, DT_RELASZ, DT_RELR, DT_RELRSZ = 7, 8, 36, 35
DT_FLAGS, DT_FLAGS_1 = 30, 0x6FFFFFFB

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC_ENTRY = struct.Struct("<qQ")

SEGMENT_NAME = b".outcrop"
_NEW_ALIGNMENT = 16
PAGE = 4096


@dataclass(slots=True)
class Segment:
    """A program header. `size` bytes of the file from `offset` on are in memory from `address` on."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    memory: int
    alignment: int


@dataclass(slots=True)
class Section:
    """A section header; `name` is an offset into the section names."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


def refuse(field: str, problem: str) -> NoReturn:
    raise FormatError(what="an ELF file", field=field, problem=problem)


def whole_strings(text: bytes, data: bytes | bytearray) -> Iterator[int]:
    """Where in `data` the whole string `text` is. The zero that ends one string may begin the next."""
    return (match.start() + 1 for match in re.finditer(b"\0" + re.escape(text) + b"(?=\0)", data))


class ElfImage:
    """The file `data`, open for changes. FormatError where it breaks the rules or is of another kind."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(SUPPORTED) or len(data) < _HEADER.size:
            refuse("the identification", "is not that of a little-endian file of 64 bits")
        self.data = bytearray(data)
        header = _HEADER.unpack_from(data)
        self.kind, self.machine = header[1], header[2]
        self._program_headers, self._section_headers = header[5], header[6]
        self._segment_count, self._section_count, self._names_index = header[10], header[12], header[13]
        try:
            self.segments = [
                Segment(*_PROGRAM_HEADER.unpack_from(data, self._program_headers + _PROGRAM_HEADER.size * number))
                for number in range(self._segment_count)
            ]
            self.sections = [
                Section(*_SECTION_HEADER.unpack_from(data, self._section_headers + _SECTION_HEADER.size * number))
                for number in range(self._section_count)
            ]
        except struct.error:
            refuse("the table of headers", "lies outside of the file")
        for segment in self.segments:
            if segment.kind == PT_LOAD and segment.offset + segment.size > len(data):
                refuse("a segment", "lies outside of the file")
        self._kept = self._end_of_contents()
        self.new = bytearray()
        self.in_padding = False
        self._new_flags = PF_R
        self._placed: dict[bytes, int] = {}
        self._base = self._new_address()

    @property
    def loaded(self) -> list[Segment]:
        """The segments that are in memory, by address."""
        return [segment for segment in self.segments if segment.kind == PT_LOAD]

    def segment(self, kind: int) -> Segment | None:
        return next((segment for segment in self.segments if segment.kind == kind and segment.size), None)

    def offset(self, address: int) -> int:
        """Where in the file the byte is that is at `address` in memory."""
        for segment in self.segments:
            if segment.kind == PT_LOAD and segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        refuse("an address", f"({address:#x}) is in no segment of the file")

    def string(self, offset: int) -> bytes:
        """The text from `offset` of the file to the next zero byte."""
        end = self.data.find(0, offset)
        return bytes(self.data[offset : end if end >= 0 else None])

    def in_memory(self, address: int, size: int) -> bytes:
        """At most `size` bytes from `address` on, also of those that were placed."""
        if self.new and self._base <= address < self._base + len(self.new):
            return bytes(self.new[address - self._base :][:size])
        offset = self.offset(address)
        return bytes(self.data[offset : offset + size])

    def text_in_memory(self, address: int) -> bytes:
        """The text from `address` to the next zero byte, also of those that were placed."""
        if self.new and self._base <= address < self._base + len(self.new):
            return bytes(self.new[address - self._base :]).partition(b"\0")[0]
        return self.string(self.offset(address))

    @property
    def interpreter(self) -> bytes | None:
        """The program that starts this one."""
        segment = self.segment(PT_INTERP)
        return self.string(segment.offset) if segment else None

    def dynamic(self) -> Iterator[tuple[int, int, int]]:
        """(offset in the file, tag, value) of each entry of the dynamic section, without its end."""
        segment = self.segment(PT_DYNAMIC)
        if segment is None:
            return
        end = min(segment.offset + segment.size, len(self.data)) - _DYNAMIC_ENTRY.size
        for offset in range(segment.offset, end + 1, _DYNAMIC_ENTRY.size):
            tag, value = _DYNAMIC_ENTRY.unpack_from(self.data, offset)
            if tag == DT_NULL:
                return
            yield offset, tag, value

    def dynamic_values(self, tag: int) -> list[int]:
        return [value for _, found, value in self.dynamic() if found == tag]

    def dynamic_strings(self, tag: int) -> list[bytes]:
        """The strings of the dynamic section's entries `tag`, such as the names of the libraries needed."""
        table = self.dynamic_values(DT_STRTAB)
        return [self.string(self.offset(table[0]) + value) for value in self.dynamic_values(tag)] if table else []

    # --- changes -------------------------------------------------------------------------------------------------

    def place(self, data: bytes, alignment: int = 1) -> int:
        """The address in memory of `data` in the new segment."""
        if alignment == 1 and data in self._placed:
            return self._placed[data]
        if self.in_padding:
            return self._place_in_padding(data)
        self.new += bytes(-len(self.new) % alignment)
        address = self._base + len(self.new)
        self.new += data
        if alignment == 1:
            self._placed[data] = address
        return address

    def place_in_page(self, data: bytes, place: int) -> int | None:
        """The address in memory of `data` in the new segment, `place` bytes behind the beginning of a page; None where
        there is no new segment."""
        if self.in_padding:
            return None
        self.new += bytes((place - self._base - len(self.new)) % PAGE)
        address = self._base + len(self.new)
        self.new += data
        return address

    def _place_in_padding(self, data: bytes) -> int:
        """The address of `data` in the zeros that fill up the last page of a segment that is only read."""
        for segment, following in zip(self.loaded, self.loaded[1:], strict=False):
            end = segment.offset + segment.size
            room = min(following.offset, end + -end % PAGE) - end
            writable, complete = segment.flags & PF_W, segment.size == segment.memory
            # One zero stays: a text before it may end there.
            if writable or not complete or room < len(data) + 1 or any(self.data[end : end + len(data) + 1]):
                continue
            self.data[end + 1 : end + 1 + len(data)] = data
            segment.size = segment.memory = segment.size + len(data) + 1
            address = self._placed[data] = segment.address + segment.size - len(data)
            return address
        refuse("the padding of its segments", f"has no room for {len(data)} bytes")

    def make_code(self, address: int, code: bytes) -> None:
        """Puts `code` where `place` has made room for it, at `address`; the new segment's bytes can be run then."""
        if self.in_padding:
            refuse("the padding of its segments", "takes no code")
        start = address - self._base
        self.new[start : start + len(code)] = code
        self._new_flags = PF_R | PF_X

    def place_string(self, text: bytes) -> int:
        return self.place(text + b"\0")

    def set_interpreter(self, path: bytes) -> None:
        segment = self.segment(PT_INTERP)
        assert segment is not None
        address = self.place_string(path)
        self._redirect_section(segment.offset, address, len(path) + 1)
        segment.address = segment.physical = address
        segment.size = segment.memory = len(path) + 1

    def set_run_path(self, path: bytes) -> None:
        """Makes `path` the only run path, as DT_RPATH: so it also holds for what the libraries need, and comes before
        LD_LIBRARY_PATH. An empty one takes all away."""
        segment = self.segment(PT_DYNAMIC)
        assert segment is not None
        entries = [(tag, value) for _, tag, value in self.dynamic() if tag not in (DT_RPATH, DT_RUNPATH)]
        if path:
            tables = dict(entries)
            if DT_STRTAB not in tables or DT_STRSZ not in tables:
                refuse("the dynamic section", "has no table of strings")
            old = self.offset(tables[DT_STRTAB])
            strings = bytes(self.data[old : old + tables[DT_STRSZ]])
            address = self.place(strings + path + b"\0", 8)
            self._redirect_section(old, address, len(strings) + len(path) + 1)
            moved = {DT_STRTAB: address, DT_STRSZ: len(strings) + len(path) + 1}
            entries = [(tag, moved.get(tag, value)) for tag, value in entries]
            position = next((place for place, (tag, _) in enumerate(entries) if tag != DT_NEEDED), 0)
            entries.insert(position, (DT_RPATH, len(strings)))
        room = segment.size // _DYNAMIC_ENTRY.size
        if len(entries) >= room:  # Go's linker leaves none, and has flags of which none is set
            entries = [(tag, value) for tag, value in entries if value or tag not in (DT_FLAGS, DT_FLAGS_1)]
        if len(entries) >= room:
            refuse("the dynamic section", "has no room for a run path")
        entries += [(DT_NULL, 0)] * (room - len(entries))
        for number, (tag, value) in enumerate(entries):
            _DYNAMIC_ENTRY.pack_into(self.data, segment.offset + number * _DYNAMIC_ENTRY.size, tag, value)

    def finished(self) -> bytes:
        """The changed file."""
        if self.new:
            self._add_segment()
        table = self._program_headers
        for number, segment in enumerate(self.segments):
            _PROGRAM_HEADER.pack_into(
                self.data,
                table + number * _PROGRAM_HEADER.size,
                *(getattr(segment, name) for name in Segment.__slots__),
            )
        return bytes(self.data)

    def _new_address(self) -> int:
        """Where the new segment begins in memory. Its bytes follow the file's own; a segment's address and its offset
        are equal but for whole pages."""
        loaded = self.loaded
        if not loaded:
            return 0
        self._alignment = max(segment.alignment for segment in loaded) or 1
        end = max(segment.address + segment.memory for segment in loaded)
        start = self._kept + -self._kept % _NEW_ALIGNMENT
        return end + -end % self._alignment + start % self._alignment

    def _end_of_contents(self) -> int:
        """Where a new segment may begin: the table of sections and their names, which are written anew, need not stay
        where a linker puts them, behind all else."""
        size = len(self.data)
        if not 0 < self._names_index < len(self.sections):
            return size
        names = self.sections[self._names_index]
        ends = [segment.offset + segment.size for segment in self.segments]
        ends += [one.offset + one.size for one in self.sections if one is not names and one.kind != SHT_NOBITS]
        end = max(*ends, self._program_headers + _PROGRAM_HEADER.size * self._segment_count)
        table = self._section_headers + _SECTION_HEADER.size * self._section_count
        gaps = (names.offset - end, self._section_headers - names.offset - names.size)
        is_last = table == size and all(0 <= gap < _NEW_ALIGNMENT for gap in gaps)
        return end if is_last else size

    def _add_segment(self) -> None:
        notes = [number for number, segment in enumerate(self.segments) if segment.kind == PT_NOTE]
        if not notes:
            refuse("the program headers", "have none that can be spared")
        names = self._section_names()
        del self.data[self._kept :]
        self.data += bytes(-len(self.data) % _NEW_ALIGNMENT)
        offset = len(self.data)
        size = len(self.new)
        for segment in self.segments:
            if segment.kind == PT_INTERP and segment.address >= self._base:
                segment.offset = segment.address - self._base + offset
        added = Segment(PT_LOAD, self._new_flags, offset, self._base, self._base, size, size, self._alignment)
        # Loadable segments stand in the order of their addresses. The last note is that of the build's number only
        # where there is just one.
        del self.segments[notes[0] if len(notes) == 1 else self._spare_note(notes)]
        last = max(number for number, segment in enumerate(self.segments) if segment.kind == PT_LOAD)
        self.segments.insert(last + 1, added)
        self.data += self.new
        self._write_sections(offset, size, names)

    def _spare_note(self, notes: list[int]) -> int:
        """The one of `notes` that is longest aligned: that of the processor's properties, which stands in a program
        header of its own as well."""
        return max(notes, key=lambda number: self.segments[number].alignment)

    def _redirect_section(self, offset: int, address: int, size: int) -> None:
        for section in self.sections:
            if section.offset == offset and section.kind != SHT_NOBITS and section.flags & SHF_ALLOC:
                section.address, section.size = address, size
                section.offset = -1  # told when the file is written

    def _section_names(self) -> bytes:
        if not self.sections:
            return b""
        names = self.sections[self._names_index]
        return bytes(self.data[names.offset : names.offset + names.size])

    def _write_sections(self, offset: int, size: int, table: bytes) -> None:
        if not self.sections:
            return
        names = self.sections[self._names_index]
        for section in self.sections:
            if section.offset == -1:
                section.offset = section.address - self._base + offset
        name = len(table)
        table += SEGMENT_NAME + b"\0"
        names.offset, names.size = len(self.data), len(table)
        self.data += table
        self.sections.append(Section(name, SHT_PROGBITS, SHF_ALLOC, self._base, offset, size, 0, 0, 1, 0))
        self.data += bytes(-len(self.data) % 8)
        self._section_headers = len(self.data)
        for section in self.sections:
            self.data += _SECTION_HEADER.pack(*(getattr(section, name) for name in Section.__slots__))
        struct.pack_into("<Q", self.data, 40, self._section_headers)
        struct.pack_into("<H", self.data, 60, len(self.sections))
