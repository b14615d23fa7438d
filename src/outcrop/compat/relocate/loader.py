"""The dynamic loader's trusted directories, moved to the layer.

glibc's loader ends every search for a library in directories that were compiled in: on Debian `/lib/<triplet>/`,
`/usr/lib/<triplet>/`, `/lib/` and `/usr/lib/`. They are one array of characters (`system_dirs`) beside one of lengths
(`system_dirs_len`), and the longest length is a number in the code that fills the table of directories and, with it,
decides how big buffers are (`max_dirnamelen`). All of them have to change together: four directories of ours take their
places. `ld.so --list-diagnostics` has an array of its own.

Everything is found by what it is, never by where it was in one release, and exactly as often as the source says; else
the loader is refused. Tried with glibc 2.36 (bookworm) and 2.41 (trixie).

Sources: glibc, `elf/dl-load.c` (`_dl_init_paths`, `is_trusted_path_normalize`), `elf/dl-diagnostics.c`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from outcrop.compat.relocate.elf_image import PF_W, PF_X, ElfImage, Segment, refuse
from outcrop.compat.relocate.string_references import X86_64, Reference, references

_COUNT = 4
_LENGTHS = struct.Struct(f"<{_COUNT}Q")
_NUMBER = struct.Struct("<i")
_LONGEST_DIRECTORY = 1500
"""Far below the pages of stack that the loader has for a path."""

T = TypeVar("T")


def _only(found: Iterable[T], what: str) -> T:
    """The one element of `found`; FormatError for none or several."""
    elements = list(found)
    if len(elements) != 1:
        refuse(f"the loader's {what}", f"was found {len(elements)} times, not once")
    return elements[0]


def _require(condition: bool, what: str) -> None:
    if not condition:
        refuse(f"the loader's {what}", "is not as the source says")


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Where the arrays are: addresses in memory, and the old directories' bytes."""

    directories: int
    lengths: int
    diagnostics: int
    old: tuple[bytes, ...]

    @property
    def bytes(self) -> int:
        return sum(len(directory) + 1 for directory in self.old)

    @property
    def second(self) -> int:
        """The address of the second directory, which the code takes as a pointer beyond the first."""
        return self.directories + len(self.old[0]) + 1


def move_trusted_directories(image: ElfImage, triplet: str, directories: Sequence[str]) -> None:
    """Makes `directories`, exactly four without a slash at their ends, those that the loader in `image` trusts.

    FormatError where the loader is not built as the source says."""
    new = [directory.encode() + b"/" for directory in directories]
    _require(len(new) == _COUNT and all(len(one) < _LONGEST_DIRECTORY for one in new), "number of directories")
    arrays = _arrays(image, triplet.encode())
    block = b"\0".join(new) + b"\0\0"
    address = image.place(block)
    if image.machine == X86_64:
        _x86_64(image, arrays, address, new)
    else:
        refuse("the loader", f"is for processor {image.machine}, whose code is not known")
    offset = image.offset(arrays.lengths)
    _LENGTHS.pack_into(image.data, offset, *map(len, new))


_CACHE = b"/etc/ld.so.cache"
_PRELOAD, _NO_PRELOAD = b"/etc/ld.so.preload", b"/dev/null/.preload"


def move_loader(image: ElfImage, prefix: bytes, triplet: str, directories: Sequence[str]) -> None:
    """Makes the loader in `image` know nothing of the machine that it runs on: its directories and its index of
    libraries are the layer's, and no file makes it load libraries before all others. FormatError."""
    image.in_padding = True
    move_trusted_directories(image, triplet, directories)
    cache = _address(image, _text(image, _CACHE))
    new = image.place_string(prefix + _CACHE)
    users = list(references(image, cache.__eq__))
    _require(len(users) == 3, "references to its index of libraries")
    for user in users:
        _redirect(user, new)
    # A path below a device, which can never be.
    place = _text(image, _PRELOAD)
    image.data[place : place + len(_NO_PRELOAD)] = _NO_PRELOAD


def _text(image: ElfImage, text: bytes) -> int:
    """Where in the file the whole string `text` is."""
    return _only(
        (match.start() + 1 for match in re.finditer(b"\0" + re.escape(text) + b"\0", image.data)), text.decode()
    )


def has_trusted_directories(data: bytes, triplet: str) -> bool:
    """Whether the ELF file `data` has such an array: the loader, and programs that are linked statically with it."""
    return b"\0".join(_old_directories(triplet.encode())) in data


def _old_directories(triplet: bytes) -> tuple[bytes, ...]:
    return (b"/lib/" + triplet + b"/", b"/usr/lib/" + triplet + b"/", b"/lib/", b"/usr/lib/")


def _arrays(image: ElfImage, triplet: bytes) -> _Arrays:
    old = _old_directories(triplet)
    data = bytes(image.data)
    block = b"\0".join(old) + b"\0"
    places = [match.start() for match in re.finditer(re.escape(block), data)]
    _require(len(places) == 2, "arrays of directories")
    lengths = _only((m.start() for m in re.finditer(re.escape(_LENGTHS.pack(*map(len, old))), data)), "lengths")
    directories, diagnostics = sorted(places, key=lambda place: abs(place - lengths))
    return _Arrays(_address(image, directories), _address(image, lengths), _address(image, diagnostics), old)


def _address(image: ElfImage, offset: int) -> int:
    segment = _only((one for one in image.loaded if one.offset <= offset < one.offset + one.size), "arrays in memory")
    return offset - segment.offset + segment.address


def _code(image: ElfImage) -> Segment:
    return _only((segment for segment in image.loaded if segment.flags & PF_X), "code")


def _unset_data(image: ElfImage) -> range:
    """The addresses of variables that are zero at first (.bss)."""
    segment = _only((segment for segment in image.loaded if segment.flags & PF_W), "variables")
    return range(segment.address + segment.size, segment.address + segment.memory)


# --- x86_64 ------------------------------------------------------------------------------------------------------

_AFTER_COMPARISON = b"\x85\xc0"
_CALL = 0xE8
_STORE = rb"\x48\xc7\x05(....)"
_INIT_BYTES = 512
_NEAR = 128


def _x86_64(image: ElfImage, arrays: _Arrays, address: int, new: Sequence[bytes]) -> None:
    span = range(arrays.directories, arrays.directories + arrays.bytes)
    found = list(references(image, span.__contains__))
    # Where the array of lengths ends and that of directories begins is one address: a reference that is compared after
    # a call of memcmp is to the end.
    ends = [
        one
        for one in found
        if arrays.lengths + _LENGTHS.size == arrays.directories == one.target
        and image.data[one.offset + 4 : one.offset + 6] == _AFTER_COMPARISON
        and image.data[one.offset - 8] == _CALL
    ]  # fmt: skip
    _require(len(ends) in (0, 2), "loops over the lengths")
    starts = [one for one in found if one.target == arrays.directories and one not in ends]
    _require(len(starts) == 3, "references to its directories")
    second = _only((one for one in found if one.target == arrays.second), "reference to its second directory")
    _require(len(found) == len(ends) + len(starts) + 1, "other references to its directories")
    init = _only((one for one in starts if 0 < second.offset - one.offset < _NEAR // 2), "table of directories").offset
    _set_number(image, init, _NEAR, rb"[\x48\x49]\xc7[\x40-\x47]\x20", len(arrays.old[0]), len(new[0]), "first length")
    longest = max(map(len, arrays.old))
    store = _only(
        (
            match
            for match in re.finditer(_STORE + re.escape(_NUMBER.pack(longest)), _window(image, init), re.S)
            if _stored_at(image, init, match) in _unset_data(image)
        ),
        "longest length",
    )
    _NUMBER.pack_into(image.data, init + store.end() - _NUMBER.size, max(map(len, new)))
    for one in starts:
        _redirect(one, address)
    _redirect(second, address + len(new[0]) + 1)
    told = range(arrays.diagnostics, arrays.diagnostics + arrays.bytes)
    diagnostics = _only(references(image, told.__contains__), "diagnostics")
    before = diagnostics.offset - _NEAR
    _set_number(image, before, _NEAR, rb"(?:\x41)?[\xb8-\xbf]", len(arrays.old[0]), len(new[0]), "told first length")
    _redirect(diagnostics, address)


def _window(image: ElfImage, start: int) -> bytes:
    return bytes(image.data[start : start + _INIT_BYTES])


def _stored_at(image: ElfImage, start: int, match: re.Match[bytes]) -> int:
    """The address that the instruction `match`, found in the window from `start` on, stores to."""
    (distance,) = _NUMBER.unpack(match[1])
    return _address(image, start + match.end()) + int(distance)


def _set_number(image: ElfImage, start: int, size: int, opcode: bytes, old: int, new: int, what: str) -> None:
    """In the one instruction `opcode` with the number `old` within `size` bytes from `start` on, puts `new`."""
    window = bytes(image.data[start : start + size])
    match = _only(re.finditer(opcode + re.escape(_NUMBER.pack(old)), window, re.S), what)
    _NUMBER.pack_into(image.data, start + match.end() - _NUMBER.size, new)


def _redirect(reference: Reference, address: int) -> None:
    if not reference.redirect(address):
        refuse("the loader's code", "is too far from the new directories")
