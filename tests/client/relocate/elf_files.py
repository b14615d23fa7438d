"""Small ELF files, made by hand: any class, any byte order, no sections."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ADDRESS = 0x400000
_STRING_TAGS = {"needed": 1, "soname": 14, "rpath": 15, "runpath": 29}


@dataclass(frozen=True, slots=True)
class ElfPlan:
    """What to put into an ELF file. `strings`: dynamic entries by name. `data`: what lies behind all of that."""

    bits: int = 64
    big_endian: bool = False
    interpreter: bytes = b""
    strings: tuple[tuple[str, bytes], ...] = ()
    data: bytes = b""
    machine: int = 62
    fixed: bool = False
    executable: bool = False

    def build(self) -> bytes:
        order = ">" if self.big_endian else "<"
        wide = self.bits == 64
        header_size, entry_size = (64, 56) if wide else (52, 32)
        segments: list[tuple[int, int, int]] = []  # kind, offset, size
        start = header_size + 3 * entry_size
        body = bytearray()

        def put(content: bytes) -> int:
            body.extend(content)
            return start + len(body) - len(content)

        if self.interpreter:
            value = self.interpreter + b"\0"
            segments.append((3, put(value), len(value)))
        if self.strings:
            table = b"\0"
            entries = []
            for tag, value in self.strings:
                entries.append((_STRING_TAGS[tag], len(table)))
                table += value + b"\0"
            at = put(table)
            entries += [(5, ADDRESS + at), (10, len(table)), (0, 0)]
            dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *entry) for entry in entries)
            segments.append((2, put(dynamic), len(dynamic)))
        put(self.data)
        segments.insert(0, (1, 0, start + len(body)))
        flags = 7 if self.executable else 4
        headers = b"".join(
            struct.pack(order + "IIQQQQQQ", kind, flags, offset, ADDRESS + offset, 0, size, size, 8)
            if wide
            else struct.pack(order + "IIIIIIII", kind, offset, ADDRESS + offset, 0, size, size, flags, 4)
            for kind, offset, size in segments
        )
        ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if self.big_endian else 1, 1)) + bytes(9)
        header = struct.pack(
            order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
            2 if self.fixed else 3, self.machine, 1,
            0, header_size, 0, 0, header_size, entry_size, len(segments), 0, 0, 0,
        )  # fmt: skip
        return (ident + header + headers).ljust(start, b"\0") + bytes(body)
