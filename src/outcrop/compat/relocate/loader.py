"""The dynamic loader's trusted directories, moved to the layer.

glibc's loader ends every search for a library in directories that were compiled in: on Debian `/lib/<triplet>/`,
`/usr/lib/<triplet>/`, `/lib/` and `/usr/lib/`. They are one array of characters (`system_dirs`) beside one of lengths
(`system_dirs_len`), and the longest length is a number in the code that fills the table of directories and, with it,
decides how big buffers are (`max_dirnamelen`). All of them have to change together: four directories of ours take their
places. `ld.so --list-diagnostics` has an array of its own.

Everything is found by what it is, never by where it was in one release, and exactly as often as the source says; else
the loader is refused. Tried with glibc 2.36 (bookworm) and 2.41 (trixie).

Within each directory the loader of an x86_64 machine asks for ten directories of newer processors first, each with two
calls to the system. A layer has none of them, since all its programs run on every processor of its family; without an
index of libraries that would be a fifth of what a small program takes to start. So it asks for fewer.

Sources: glibc, `elf/dl-load.c` (`_dl_init_paths`, `is_trusted_path_normalize`), `elf/dl-diagnostics.c`,
`elf/dl-hwcaps.c` and `sysdeps/x86_64/dl-hwcaps_subdirs.c`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from outcrop.compat.relocate import loader_aarch64, loader_riscv64
from outcrop.compat.relocate.elf_image import ElfImage, refuse, whole_strings
from outcrop.compat.relocate.loader_arrays import (
    COUNT,
    LENGTHS,
    Arrays,
    Mover,
    address_of,
    only,
    redirect,
    require,
    unset_data,
)
from outcrop.compat.relocate.string_references import AARCH64, RISCV64, X86_64, references

_NUMBER = struct.Struct("<i")
_LONGEST_DIRECTORY = 1500
"""Far below the pages of stack that the loader has for a path."""


def move_trusted_directories(image: ElfImage, triplet: str, directories: Sequence[str]) -> None:
    """Makes `directories`, one to four without a slash at their ends, those that the loader in `image` trusts.

    FormatError where the loader is not built as the source says."""
    new = [directory.encode() + b"/" for directory in directories]
    new += new[-1:] * (COUNT - len(new))  # there is room for just so many: looking twice into the last finds the same
    require(len(new) == COUNT and all(len(one) < _LONGEST_DIRECTORY for one in new), "number of directories")
    arrays = _arrays(image, triplet.encode())
    block = b"\0".join(new) + b"\0\0"
    address = image.place(block)
    if image.machine not in _MOVERS:
        refuse("the loader", f"is for processor {image.machine}, whose code is not known")
    _MOVERS[image.machine](image, arrays, address, new)
    offset = image.offset(arrays.lengths)
    LENGTHS.pack_into(image.data, offset, *map(len, new))


_NOWHERE = (
    # The index of libraries is asked before the trusted directories, and would hide what a site puts into the first.
    (b"/etc/ld.so.cache", b"/dev/null/.cache"),
    # What the host wants loaded before all others is of another C library.
    (b"/etc/ld.so.preload", b"/dev/null/.preload"),
)
"""Files that the loader asks for, and paths as long below a device, which can never be."""


def move_loader(image: ElfImage, triplet: str, directories: Sequence[str]) -> None:
    """Makes the loader in `image` know nothing of the machine that it runs on: its directories are the layer's, it has
    no index of libraries, no file makes it load libraries before all others, and it looks for no libraries of newer
    processors. FormatError."""
    image.in_padding = True
    move_trusted_directories(image, triplet, directories)
    for path, nowhere in _NOWHERE:
        place = _text(image, path)
        image.data[place : place + len(path)] = nowhere
    if image.machine == X86_64:
        _expect_no_newer_processor(image)


_SUBDIRECTORIES = b"x86-64-v4:x86-64-v3:x86-64-v2"
"""Those of `glibc-hwcaps` in each directory (`_dl_hwcaps_subdirs`)."""

_CAPABILITIES = re.compile(rb"\0glibc\.cpu\.hwcap_mask\0+\x01\0{7}\0{8}\xff{8}(.{8})", re.DOTALL)
"""The tunable that says which capabilities of a processor have directories: its name, its type, the least and the
greatest number, and the one by default. glibc has none of that since 2.37."""


def _expect_no_newer_processor(image: ElfImage) -> None:
    image.data[_text(image, _SUBDIRECTORIES)] = 0
    for match in list(_CAPABILITIES.finditer(image.data)):
        image.data[match.start(1) : match.end(1)] = bytes(8)


def _text(image: ElfImage, text: bytes) -> int:
    """Where in the file the whole string `text` is."""
    return only(whole_strings(text, image.data), text.decode())


def has_trusted_directories(data: bytes, triplet: str) -> bool:
    """Whether the ELF file `data` has such an array: the loader, and programs that are linked statically with it."""
    return b"\0".join(_old_directories(triplet.encode())) in data


def _old_directories(triplet: bytes) -> tuple[bytes, ...]:
    return (b"/lib/" + triplet + b"/", b"/usr/lib/" + triplet + b"/", b"/lib/", b"/usr/lib/")


def _arrays(image: ElfImage, triplet: bytes) -> Arrays:
    old = _old_directories(triplet)
    data = bytes(image.data)
    block = b"\0".join(old) + b"\0"
    places = [match.start() for match in re.finditer(re.escape(block), data)]
    require(len(places) == 2, "arrays of directories")
    lengths = only((m.start() for m in re.finditer(re.escape(LENGTHS.pack(*map(len, old))), data)), "lengths")
    directories, diagnostics = sorted(places, key=lambda place: abs(place - lengths))
    return Arrays(address_of(image, directories), address_of(image, lengths), address_of(image, diagnostics), old)


# --- x86_64 ------------------------------------------------------------------------------------------------------

_AFTER_COMPARISON = b"\x85\xc0"
_CALL = 0xE8
_STORE = rb"\x48\xc7\x05(....)"
_INIT_BYTES = 512
_NEAR = 128


def _x86_64(image: ElfImage, arrays: Arrays, address: int, new: Sequence[bytes]) -> None:
    found = list(references(image, arrays.span))
    # Where the array of lengths ends and that of directories begins is one address: a reference that is compared after
    # a call of memcmp is to the end.
    ends = [
        one
        for one in found
        if arrays.lengths + LENGTHS.size == arrays.directories == one.target
        and image.data[one.offset + 4 : one.offset + 6] == _AFTER_COMPARISON
        and image.data[one.offset - 8] == _CALL
    ]  # fmt: skip
    require(len(ends) in (0, 2), "loops over the lengths")
    starts = [one for one in found if one.target == arrays.directories and one not in ends]
    require(len(starts) == 3, "references to its directories")
    second = only((one for one in found if one.target == arrays.second), "reference to its second directory")
    require(len(found) == len(ends) + len(starts) + 1, "other references to its directories")
    init = only((one for one in starts if 0 < second.offset - one.offset < _NEAR // 2), "table of directories").offset
    _set_number(image, init, _NEAR, rb"[\x48\x49]\xc7[\x40-\x47]\x20", len(arrays.old[0]), len(new[0]), "first length")
    store = only(
        (
            match
            for match in re.finditer(_STORE + re.escape(_NUMBER.pack(arrays.longest)), _window(image, init), re.S)
            if _stored_at(image, init, match) in unset_data(image)
        ),
        "longest length",
    )
    _NUMBER.pack_into(image.data, init + store.end() - _NUMBER.size, max(map(len, new)))
    for one in starts:
        redirect(one, address)
    redirect(second, address + len(new[0]) + 1)
    diagnostics = only(references(image, arrays.told), "diagnostics")
    require(diagnostics.target == arrays.diagnostics, "diagnostics")
    before = diagnostics.offset - _NEAR
    _set_number(image, before, _NEAR, rb"(?:\x41)?[\xb8-\xbf]", len(arrays.old[0]), len(new[0]), "told first length")
    redirect(diagnostics, address)


def _window(image: ElfImage, start: int) -> bytes:
    return bytes(image.data[start : start + _INIT_BYTES])


def _stored_at(image: ElfImage, start: int, match: re.Match[bytes]) -> int:
    """The address that the instruction `match`, found in the window from `start` on, stores to."""
    (distance,) = _NUMBER.unpack(match[1])
    return address_of(image, start + match.end()) + int(distance)


def _set_number(image: ElfImage, start: int, size: int, opcode: bytes, old: int, new: int, what: str) -> None:
    """In the one instruction `opcode` with the number `old` within `size` bytes from `start` on, puts `new`."""
    window = bytes(image.data[start : start + size])
    match = only(re.finditer(opcode + re.escape(_NUMBER.pack(old)), window, re.S), what)
    _NUMBER.pack_into(image.data, start + match.end() - _NUMBER.size, new)


_MOVERS: dict[int, Mover] = {
    X86_64: _x86_64,
    AARCH64: loader_aarch64.move_directories,
    RISCV64: loader_riscv64.move_directories,
}
