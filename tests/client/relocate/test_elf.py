"""The ELF reader: every class and byte order, real programs, and files that lie."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.relocate.elf import ElfString, read_elf
from outcrop.errors import FormatError
from tests.client.relocate.elf_files import ElfPlan

STRINGS = (("needed", b"libc.so.6"), ("soname", b"libx.so.1"), ("rpath", b"/a/lib"), ("runpath", b"/b/lib:/c"))
KINDS = [(bits, big) for bits in (32, 64) for big in (False, True)]


@pytest.mark.parametrize(("bits", "big_endian"), KINDS)
def test_strings_are_found_without_sections(bits: int, big_endian: bool) -> None:
    data = ElfPlan(bits, big_endian, b"/lib/ld.so", STRINGS).build()
    elf = read_elf(data)
    assert (elf.bits, elf.little_endian) == (bits, not big_endian)
    assert elf.values(ElfString.INTERPRETER) == (b"/lib/ld.so",)
    assert elf.values(ElfString.RUN_PATH) == (b"/a/lib", b"/b/lib:/c")
    assert elf.values(ElfString.LIBRARY) == (b"libc.so.6", b"libx.so.1")
    for string in elf.strings:
        assert data[string.offset : string.end + 1] == string.value + b"\0"


def test_a_file_without_program_headers_has_none() -> None:
    data = bytearray(ElfPlan().build())
    data[56:58] = bytes(2)
    assert read_elf(bytes(data)).strings == ()


def test_this_python_is_understood() -> None:
    with open(sys.executable, "rb") as stream:
        elf = read_elf(stream.read())
    assert elf.bits == 64
    assert any(name.startswith(b"libc.") for name in elf.values(ElfString.LIBRARY))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ((0, b"\x7fELG"), "identification"),
        ((4, b"\3"), "class"),
        ((5, b"\0"), "byte order"),
        ((32, struct.pack("<Q", 1 << 40)), "a program header"),
        ((54, struct.pack("<H", 3)), "size of a program header"),
        ((64 + 56 + 8, struct.pack("<Q", 1 << 50)), "interpreter"),
    ],
)
def test_what_lies_is_refused(change: tuple[int, bytes], field: str) -> None:
    data = bytearray(ElfPlan(interpreter=b"/lib/ld.so", strings=STRINGS).build())
    data[change[0] : change[0] + len(change[1])] = change[1]
    with pytest.raises(FormatError, match=field):
        read_elf(bytes(data))


def test_an_address_outside_of_all_segments_is_refused() -> None:
    data = ElfPlan(strings=STRINGS).build()
    broken = data.replace(struct.pack("<q", 5), struct.pack("<q", 10_000), 1)
    with pytest.raises(FormatError, match="in no segment"):
        read_elf(broken)


@pytest.mark.property
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=20),
    st.integers(0, 600),
)
def test_damage_is_a_format_error_or_nothing(
    kind: tuple[int, bool], damage: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(ElfPlan(*kind, b"/lib/ld.so", STRINGS).build())
    for offset, value in damage:
        if offset < len(data):
            data[offset] = value
    try:
        read_elf(bytes(data[: max(length, len(data) // 2)]))
    except FormatError:
        return
