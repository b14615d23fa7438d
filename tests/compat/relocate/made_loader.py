"""What made-up dynamic loaders have in common, whatever their processor: the data that glibc's source says, and what
holds of it when it was moved."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from outcrop.compat.relocate.elf_image import ElfImage
from tests.compat.relocate.small_elf import VARIABLES

CACHE, PRELOAD = b"/etc/ld.so.cache", b"/etc/ld.so.preload"
LONGEST_AT = VARIABLES + 0x40
"""Where the variable `max_dirnamelen` is."""
VARIABLES_SIZE = 0x100
ENTRY = 64
"""How many bytes an entry of the loader's table of directories has."""
STEPS = 1000
"""More instructions than a function of a made-up loader runs."""


def old_directories(triplet: str) -> tuple[bytes, ...]:
    """Those that Debian's loader for `triplet` was built with."""
    return (f"/lib/{triplet}/".encode(), f"/usr/lib/{triplet}/".encode(), b"/lib/", b"/usr/lib/")


def new_directories(family: str) -> tuple[str, ...]:
    """Those of a layer: each of another length, and the longest is not the first."""
    prefix = f"/cvmfs/software.example.org/versions/2026.06/compat/linux/{family}"
    return tuple(f"{prefix}{place}" for place in ("/lib/override", "/lib", f"/usr/lib/{family}-linux-gnu", "/usr/lib"))


def block_of(directories: Sequence[bytes]) -> bytes:
    return b"\0".join(directories) + b"\0"


def lengths_of(directories: Sequence[bytes]) -> bytes:
    return struct.pack("<4Q", *map(len, directories))


def data_of(old: Sequence[bytes]) -> bytes:
    """A loader's constants: the directories, their lengths, and behind something else what `--list-diagnostics` tells,
    and the files that it asks for."""
    block = block_of(old)
    data = block.ljust(len(block) + -len(block) % 16, b"\0") + lengths_of(old)
    return data + bytes(0x120) + block + b"\0" + CACHE + b"\0" + PRELOAD + b"\0"


def assert_led_nowhere(before: bytes, after: bytes) -> None:
    """Neither an index of libraries nor what is loaded before all others: paths below a device, which can never be."""
    for path in (CACHE, PRELOAD):
        place = before.index(path)
        assert after[place : place + len(path)].startswith(b"/dev/null/")
        assert after[place + len(path)] == 0
        assert path not in after


def changes(before: bytes, after: bytes) -> set[int]:
    """The offsets at which the two files differ, which are equally long."""
    return {offset for offset, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]}


def places_of_data(before: ElfImage, after: ElfImage, old: Sequence[bytes]) -> set[int]:
    """The offsets in a moved loader at which data may have changed: the lengths, the files' paths, the new directories
    in the padding of the first segment, and how long that is."""
    data = bytes(before.data)
    lengths = data.index(lengths_of(old))
    places = {*range(lengths, lengths + 32), *range(64 + 32, 64 + 48)}
    for path in (CACHE, PRELOAD):
        places |= {*range(data.index(path), data.index(path) + len(path))}
    return places | {*range(before.loaded[0].size, after.loaded[0].size)}


def texts_from(image: ElfImage, address: int, count: int) -> list[bytes]:
    """So many strings, one behind the other."""
    return bytes(image.data[image.offset(address) :]).split(b"\0")[:count]


@dataclass
class Ran:
    """What a function did: the words it stored, by address, and for each call the first three arguments."""

    image: ElfImage
    stored: dict[int, int] = field(default_factory=dict)
    calls: list[tuple[int, int, int]] = field(default_factory=list)

    def load(self, address: int, size: int = 8) -> int:
        if size == 8 and address in self.stored:
            return self.stored[address]
        return int.from_bytes(self.image.in_memory(address, size), "little")

    def called_with(self, directory: int) -> list[bytes]:
        """What each call was given as argument number `directory`, as long as the last argument says."""
        return [self.image.in_memory(call[directory], call[2]) for call in self.calls]

    def table(self, address: int) -> list[bytes]:
        """The directories in the table from `address` on (`struct r_search_path_elem`): a name and a length each."""
        entries = range(address, address + 4 * ENTRY, ENTRY)
        return [self.image.in_memory(self.stored[entry + 24], self.stored[entry + 32]) for entry in entries]
