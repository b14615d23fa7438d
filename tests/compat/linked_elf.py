"""ELF files without any code, which say to the loader what a test wants them to say."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

X86_64 = 62
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 10, 14, 15, 29
_HEADER = 64
_SEGMENT = 56


def linked(
    *,
    interpreter: str = "",
    needed: Sequence[str] = (),
    run_path: str | None = None,
    soname: str = "",
    tag: int = DT_RUNPATH,
    machine: int = X86_64,
    dynamic: bool = True,
) -> bytes:
    """A program or library; without `dynamic`, a static one."""
    strings = b"\0"
    entries: list[tuple[int, int]] = []
    texts = [(_DT_NEEDED, name) for name in needed]
    texts += [(_DT_SONAME, soname)] if soname else []
    texts += [(tag, run_path)] if run_path is not None else []
    for number, text in texts:
        entries.append((number, len(strings)))
        strings += text.encode() + b"\0"
    count = 1 + dynamic + bool(interpreter)
    table = _HEADER + count * _SEGMENT
    interpreted = table + len(strings)
    begin = interpreted + len(interpreter) + 1
    entries += [(_DT_STRTAB, table), (_DT_STRSZ, len(strings)), (0, 0), (0, 0)]
    section = b"".join(struct.pack("<qQ", *entry) for entry in entries) if dynamic else b""
    size = begin + len(section)
    segments = [(1, 4, 0, size)]
    segments += [(3, 4, interpreted, len(interpreter) + 1)] if interpreter else []
    segments += [(2, 4, begin, len(section))] if dynamic else []
    data = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, count, 0, 0, 0
    )
    for kind, flags, offset, length in segments:
        data += struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, length, length, 8)
    return data + strings + interpreter.encode() + b"\0" + section


def write(place: Path, data: bytes) -> Path:
    """The new file `place` with `data`, below directories that are made."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def loader(directories: Sequence[str], index: str = "") -> bytes:
    """What the search of a layer's loader is read from: its trusted directories, and the path of its index."""
    texts = b"".join(directory.encode() + b"/\0" for directory in directories)
    return linked(soname="ld.so") + b"\0" + texts + b"\0" + index.encode() + b"\0"
