"""The dynamic symbols of a library or program: what it gives, what it needs, and of which versions.

A symbol that is needed in a version (`memcpy@GLIBC_2.14`) is found in a library that defines it in just that one. The
table of symbols has no length of its own: it ends where the hash table says, or the last symbol that a relocation
names.

Sources: System V ABI, "Symbol Table" and "Hash Table"; Ulrich Drepper, "ELF Symbol Versioning"; the GNU hash table as
binutils writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from outcrop.compat.relocate.elf_image import DT_NEEDED, DT_SONAME, DT_STRTAB, ElfImage
from outcrop.errors import FormatError

_DT_HASH, _DT_SYMTAB, _DT_GNU_HASH = 4, 6, 0x6FFFFEF5
_DT_RELA, _DT_RELASZ, _DT_JMPREL, _DT_PLTRELSZ = 7, 8, 23, 2
_DT_VERSYM, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_RELA = struct.Struct("<QQq")
_SYMBOL = struct.Struct("<IBBHQQ")
_VERDEF, _VERDAUX = struct.Struct("<HHHHIII"), struct.Struct("<II")
_VERNEED, _VERNAUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_VERSION_MASK = 0x7FFF
_BASE_VERSION_FLAG = 1
_STB_LOCAL, _STB_WEAK = 0, 2
_STT_OBJECT, _STT_TLS = 1, 6
_SHN_UNDEF = 0


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name, with its version (empty without one)."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Definition:
    """What a library gives: `size` is that of a variable in bytes, 0 for everything else."""

    symbol: Symbol
    is_data: bool
    size: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a file needs; a `weak` one may be missing. `library` has the version; it is empty where none is named."""

    symbol: Symbol
    library: str
    weak: bool


@dataclass(frozen=True, slots=True)
class Interface:
    """All that matters between files: the name that others ask for, the libraries asked for, symbols given and needed,
    the versions that are defined, and those that are needed of which library."""

    soname: str
    libraries: tuple[str, ...]
    gives: tuple[Definition, ...]
    needs: tuple[Need, ...]
    versions: frozenset[str]
    needed_versions: frozenset[tuple[str, str]]


def interface_of(data: bytes) -> Interface:
    """The interface of the ELF file `data`; FormatError where it breaks the rules."""
    try:
        return _Reader(ElfImage(data)).interface()
    except struct.error as error:
        raise FormatError(what="an ELF file", field="a table", problem="leaves the file") from error


class _Reader:
    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._strings = self._table(DT_STRTAB)

    def interface(self) -> Interface:
        image = self._image
        defined = dict(self._defined_versions())
        needed = dict(self._needed_versions())
        gives, needs = [], []
        for index, (name, info, _, section, _, size) in enumerate(self._symbols()):
            if index == 0 or info >> 4 == _STB_LOCAL or not name:
                continue
            number = self._version_of(index)
            text = self._text(name)
            if section == _SHN_UNDEF:
                library, version = needed.get(number & _VERSION_MASK, ("", ""))
                needs.append(Need(Symbol(text, version), library, info >> 4 == _STB_WEAK))
            else:
                is_data = info & 15 in (_STT_OBJECT, _STT_TLS)
                # A program's own copy of a library's variable has the library's version.
                version = defined.get(number & _VERSION_MASK, needed.get(number & _VERSION_MASK, ("", ""))[1])
                gives.append(Definition(Symbol(text, version), is_data, size if is_data else 0))
        sonames = image.dynamic_strings(DT_SONAME)
        return Interface(
            soname=sonames[0].decode("utf-8", "replace") if sonames else "",
            libraries=tuple(name.decode("utf-8", "replace") for name in image.dynamic_strings(DT_NEEDED)),
            gives=tuple(gives),
            needs=tuple(needs),
            versions=frozenset(defined.values()),
            needed_versions=frozenset(needed.values()),
        )

    def _table(self, tag: int) -> int:
        """Where in the file the table `tag` of the dynamic section is; -1 without one."""
        values = self._image.dynamic_values(tag)
        return self._image.offset(values[0]) if values else -1

    def _text(self, offset: int) -> str:
        return self._image.string(self._strings + offset).decode("utf-8", "replace")

    def _symbols(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        table = self._table(_DT_SYMTAB)
        if table < 0 or self._strings < 0:
            return
        for index in range(self._count()):
            yield _SYMBOL.unpack_from(self._image.data, table + index * _SYMBOL.size)

    def _count(self) -> int:
        """The hash table of a file that gives nothing says 1, whatever it needs: relocations have the rest."""
        return max(self._hashed(), self._relocated())

    def _relocated(self) -> int:
        """One more than the highest symbol that a relocation names."""
        highest = -1
        for place_tag, size_tag in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
            place, sizes = self._table(place_tag), self._image.dynamic_values(size_tag)
            if place >= 0 and sizes:
                table = self._image.data[place : place + sizes[0]]
                table = table[: len(table) - len(table) % _RELA.size]
                highest = max(highest, max((info >> 32 for _, info, _ in _RELA.iter_unpack(table)), default=-1))
        return highest + 1

    def _hashed(self) -> int:
        data = self._image.data
        plain = self._table(_DT_HASH)
        if plain >= 0:
            return int(struct.unpack_from("<I", data, plain + 4)[0])
        hashed = self._table(_DT_GNU_HASH)
        if hashed < 0:
            return 0
        buckets, first, words, _ = struct.unpack_from("<IIII", data, hashed)
        start = hashed + 16 + words * 8
        last = max(struct.unpack_from(f"<{buckets}I", data, start), default=0)
        if last < first:
            return int(first)
        chain = start + buckets * 4
        while not struct.unpack_from("<I", data, chain + (last - first) * 4)[0] & 1:
            last += 1
        return int(last) + 1

    def _version_of(self, index: int) -> int:
        table = self._table(_DT_VERSYM)
        return int(struct.unpack_from("<H", self._image.data, table + index * 2)[0]) if table >= 0 else 0

    def _defined_versions(self) -> Iterator[tuple[int, str]]:
        place = self._table(_DT_VERDEF)
        for _ in range(sum(self._image.dynamic_values(_DT_VERDEFNUM))):
            _, flags, index, _, _, names, following = _VERDEF.unpack_from(self._image.data, place)
            if not flags & _BASE_VERSION_FLAG:
                name, _ = _VERDAUX.unpack_from(self._image.data, place + names)
                yield index, self._text(name)
            place += following

    def _needed_versions(self) -> Iterator[tuple[int, tuple[str, str]]]:
        place = self._table(_DT_VERNEED)
        for _ in range(sum(self._image.dynamic_values(_DT_VERNEEDNUM))):
            _, count, library, names, following = _VERNEED.unpack_from(self._image.data, place)
            one = place + names
            for _ in range(count):
                _, _, index, name, after = _VERNAUX.unpack_from(self._image.data, one)
                yield index, (self._text(library), self._text(name))
                one += after
            place += following
