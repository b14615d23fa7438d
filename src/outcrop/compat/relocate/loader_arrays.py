"""What the loader's code is looked through for on all processors: the arrays of its directories, exact counts.

Sources: those of `loader`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from outcrop.compat.relocate.elf_image import PF_W, PF_X, ElfImage, Segment, refuse
from outcrop.compat.relocate.reference import Reference

COUNT = 4
LENGTHS = struct.Struct(f"<{COUNT}Q")

T = TypeVar("T")


def only(found: Iterable[T], what: str) -> T:
    """The one element of `found`; FormatError for none or several."""
    elements = list(found)
    if len(elements) != 1:
        refuse(f"the loader's {what}", f"was found {len(elements)} times, not once")
    return elements[0]


def require(condition: bool, what: str) -> None:
    if not condition:
        refuse(f"the loader's {what}", "is not as the source says")


def redirect(reference: Reference, address: int) -> None:
    if not reference.redirect(address):
        refuse("the loader's code", "is too far from the new directories, or not certain")


@dataclass(frozen=True, slots=True)
class Arrays:
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

    @property
    def longest(self) -> int:
        return max(map(len, self.old))

    @property
    def span(self) -> range:
        """The addresses of the directories."""
        return range(self.directories, self.directories + self.bytes)

    @property
    def told(self) -> range:
        """The addresses of the directories that `--list-diagnostics` tells."""
        return range(self.diagnostics, self.diagnostics + self.bytes)


class Mover(Protocol):
    """What makes one processor's code use the directories `new`, which are at `address` one behind the other."""

    def __call__(self, image: ElfImage, arrays: Arrays, address: int, new: Sequence[bytes]) -> None: ...


def address_of(image: ElfImage, offset: int) -> int:
    """Where in memory the byte is that is at `offset` of the file."""
    segment = only((one for one in image.loaded if one.offset <= offset < one.offset + one.size), "arrays in memory")
    return offset - segment.offset + segment.address


def code_of(image: ElfImage) -> Segment:
    return only((segment for segment in image.loaded if segment.flags & PF_X), "code")


def unset_data(image: ElfImage) -> range:
    """The addresses of variables that are zero at first (.bss)."""
    segment = only((segment for segment in image.loaded if segment.flags & PF_W), "variables")
    return range(segment.address + segment.size, segment.address + segment.memory)
