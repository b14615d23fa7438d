"""What glibc's main library knows by length: mended where it is found as often as the source says, else refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.libc import LOCALES, conversions, mend_libc
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.strings_of_elf import re_point
from outcrop.errors import FormatError
from tests.compat.relocate.small_elf import CODE, TEXTS, elf

X86_64, AARCH64, RISCV64 = 62, 183, 243
PREFIX = b"/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64"
TRIPLET = "x86_64-linux-gnu"
GCONV = conversions(TRIPLET)
TEXT = b"\0" + LOCALES + b"\0" + GCONV + b"\0"
SIZE = b"\x48\xc7\x45\x90" + struct.pack("<i", len(LOCALES) + 1)
"""`movq $16, -112(%rbp)`."""


def lea(place: int, target: int) -> bytes:
    return b"\x48\x8d\x05" + struct.pack("<i", target - (place + 7))


def library(*sizes: bool, texts: bytes = TEXT, apart: int = 0) -> ElfImage:
    """A library whose code forms the address of the path of locales so often, each time with its size where that is
    said, or `apart` from it."""
    code = b""
    for has_size in sizes:
        code += lea(CODE + len(code), TEXTS + 1) + b"\x90" * apart + (SIZE if has_size else b"") + b"\x90" * 150
    return ElfImage(elf(X86_64, code, texts))


def mended(image: ElfImage, prefix: bytes = PREFIX) -> None:
    strings = re_point(image, PathRules(prefix, frozenset()), (GCONV,))
    mend_libc(image, prefix, TRIPLET, strings.lengths)


def sizes(image: ElfImage) -> list[int]:
    found, place = [], CODE
    while (place := image.data.find(SIZE[:4], place, TEXTS)) >= 0:
        found.append(struct.unpack_from("<i", image.data, place + 4)[0])
        place += 8
    return found


def test_the_size_of_the_path_of_locales_becomes_the_new_one_s() -> None:
    image = library(True, True, False)
    mended(image)
    assert sizes(image) == [len(PREFIX + LOCALES) + 1] * 2


@pytest.mark.property
@given(st.text("abc", min_size=1, max_size=200))
def test_any_prefix_will_do(name: str) -> None:
    prefix = f"/{name}".encode()
    image = library(True, True)
    mended(image, prefix)
    assert sizes(image) == [len(prefix + LOCALES) + 1] * 2
    finished = ElfImage(image.finished())
    assert prefix + LOCALES + b"\0" in finished.data


def test_the_directory_of_conversions_leads_nowhere_and_is_as_long() -> None:
    image = library(True, True)
    place = bytes(image.data).index(GCONV)
    mended(image)
    assert image.data[place : place + len(GCONV) + 1] == b"/dev/null/".ljust(len(GCONV), b".") + b"\0"
    assert GCONV not in image.data


@pytest.mark.parametrize("has_sizes", [(), (True,), (True, False), (True, True, True)], ids=len)
def test_a_size_that_is_not_there_twice_is_refused(has_sizes: tuple[bool, ...]) -> None:
    with pytest.raises(FormatError, match=rf"has its size in {sum(has_sizes)} places, not in two"):
        mended(library(*has_sizes))


def test_a_number_far_from_the_path_is_something_else() -> None:
    with pytest.raises(FormatError, match="has its size in 0 places"):
        mended(library(True, True, apart=100))


@pytest.mark.parametrize(
    ("texts", "number"), [(b"\0" + LOCALES + b"\0", 0), (TEXT + GCONV + b"\0", 2), (TEXT[:-1] + b"s\0", 0)]
)
def test_conversions_that_are_not_there_once_are_refused(texts: bytes, number: int) -> None:
    with pytest.raises(FormatError, match=f"directory of conversions was found {number} times, not once"):
        mended(library(True, True, texts=texts))


def test_what_was_mended_once_is_refused() -> None:
    image = library(True, True)
    mended(image)
    with pytest.raises(FormatError, match="has its size in 0 places"):
        mended(ElfImage(image.finished()))


@pytest.mark.parametrize("machine", [AARCH64, RISCV64])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_other_processors_mend_the_size_with_the_reference_and_twice(machine: int, number: int) -> None:
    image = ElfImage(elf(machine, b"", TEXT))
    with pytest.raises(FormatError, match=f"has its size in {number} places"):
        mend_libc(image, PREFIX, TRIPLET, [LOCALES] * number + [b"/usr/share"])
    mend_libc(image, PREFIX, TRIPLET, [LOCALES] * 2)
