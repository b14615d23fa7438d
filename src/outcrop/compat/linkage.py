"""What a file says to the dynamic loader: who starts it, what it needs, and where that is looked for."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from outcrop.compat.relocate.elf_image import DT_NEEDED, DT_SONAME, ET_DYN, ET_EXEC, MAGIC, PT_DYNAMIC, ElfImage
from outcrop.compat.relocate.run_paths import run_path_entries
from outcrop.errors import storage_error

_TYPE = struct.Struct("<16sH")


@dataclass(frozen=True, slots=True)
class Linkage:
    """An ELF file for the loader: the number of its `machine`, its `interpreter` (empty for a library), the entries of
    its run path, the names that it needs and the one that it has."""

    machine: int
    interpreter: str
    run_path: tuple[str, ...]
    needed: tuple[str, ...]
    soname: str


def linkage_of(place: Path) -> Linkage | None:
    """The linkage of the file `place`; None for one that no loader takes: no ELF file, an object, a static program.
    FormatError where it is broken, or not of 64 bits; StorageError."""
    try:
        with place.open("rb") as file:
            head = file.read(_TYPE.size)
            if not head.startswith(MAGIC) or len(head) < _TYPE.size or _TYPE.unpack(head)[1] not in (ET_EXEC, ET_DYN):
                return None
            image = ElfImage(head + file.read())
    except OSError as error:
        raise storage_error(error, str(place)) from error
    if image.segment(PT_DYNAMIC) is None:
        return None
    names = [os.fsdecode(name) for name in image.dynamic_strings(DT_SONAME)]
    return Linkage(
        machine=image.machine,
        interpreter=os.fsdecode(image.interpreter or b""),
        run_path=tuple(map(os.fsdecode, run_path_entries(image))),
        needed=tuple(map(os.fsdecode, image.dynamic_strings(DT_NEEDED))),
        soname=names[0] if names else "",
    )


def machine_of(place: Path) -> int:
    """The number of the machine that the ELF file `place` of 64 bits is for; 0 for every other file. OSError."""
    with place.open("rb") as file:
        head = file.read(_TYPE.size + 2)
    if len(head) < _TYPE.size + 2 or head[:6] != MAGIC + b"\x02\x01":
        return 0
    return int.from_bytes(head[_TYPE.size :], "little")
