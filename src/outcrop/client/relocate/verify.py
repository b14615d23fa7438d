"""What the dynamic loader must read in a changed file, worked out from what it read before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outcrop.client.relocate import elf
from outcrop.client.relocate.changes import Change
from outcrop.client.relocate.elf import LocatedString, read_elf
from outcrop.client.relocate.places import Data
from outcrop.errors import FormatError


def loader_strings(data: Data) -> tuple[LocatedString, ...]:
    """What the kernel and the loader read in `data`; nothing if that is no ELF file, or a broken one."""
    if data[: len(elf.MAGIC)] != elf.MAGIC:
        return ()
    try:
        return read_elf(data).strings
    except FormatError:
        return ()


def expected_strings(before: Sequence[LocatedString], change: Change, slot: bytes) -> tuple[LocatedString, ...]:
    """`before` with `slot` at each place of `change` that one of the strings covers, and nothing else different."""
    return tuple(replace(string, value=_with_slots(string, change, slot)) for string in before)


def _with_slots(string: LocatedString, change: Change, slot: bytes) -> bytes:
    value = string.value
    for place in change.places:
        start = place.offset - string.offset
        if start >= 0 and start + len(slot) <= len(value):
            value = value[:start] + slot + value[start + len(slot) :]
    return value
