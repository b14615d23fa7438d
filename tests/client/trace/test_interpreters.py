"""The interpreter that the kernel would start for a program."""

from __future__ import annotations

import os
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.trace.interpreters import interpreter_of


def of(data: bytes) -> bytes | None:
    return interpreter_of(lambda offset, size: data[offset : offset + size])


@pytest.mark.parametrize(
    ("start", "interpreter"),
    [
        (b"#!/bin/sh\necho", b"/bin/sh"),
        (b"#! /usr/bin/env python3\n", b"/usr/bin/env"),
        (b"#!\n", None),
        (b"plain text", None),
        (b"", None),
    ],
)
def test_first_line_of_a_script(start: bytes, interpreter: bytes | None) -> None:
    assert of(start) == interpreter


def elf(*, wide: bool, order: str, path: bytes) -> bytes:
    """A program of nothing but headers."""
    identification = b"\x7fELF" + bytes((2 if wide else 1, 2 if order == ">" else 1)) + bytes(10)
    size, entry = (64, 56) if wide else (52, 32)
    fields = (2, 62, 1, 0, size, 0, 0, size, entry, 2, 0, 0, 0)
    header = identification + struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), *fields)
    place = size + 2 * entry
    segments = b""
    for kind, offset, length in ((1, 0, 0), (3, place, len(path) + 1)):
        if wide:
            segments += struct.pack(order + "IIQQQQQQ", kind, 4, offset, 0, 0, length, length, 1)
        else:
            segments += struct.pack(order + "IIIIIIII", kind, offset, 0, 0, length, length, 4, 1)
    return header + segments + path + b"\0"


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_interpreter_of_an_elf_program(wide: bool, order: str) -> None:
    assert of(elf(wide=wide, order=order, path=b"/lib/ld.so")) == b"/lib/ld.so"


def test_this_python_has_one_or_none() -> None:
    with open(sys.executable, "rb") as file:
        found = interpreter_of(lambda offset, size: os.pread(file.fileno(), size, offset))
    assert found is None or os.path.exists(found)


@pytest.mark.property
@given(st.binary(max_size=300), st.integers(0, 120), st.binary(max_size=8))
def test_damaged_headers_are_no_trouble(data: bytes, at: int, damage: bytes) -> None:
    of(b"\x7fELF" + data)
    program = elf(wide=True, order="<", path=b"/lib/ld.so")
    of(program[:at] + damage + program[at + len(damage) :])
