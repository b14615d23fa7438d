"""The loader's trusted directories in made-up loaders for x86_64: all of it moves, or the loader is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.loader import has_trusted_directories, move_loader, move_trusted_directories
from outcrop.errors import FormatError
from tests.compat.relocate.made_loader import (
    CACHE,
    LONGEST_AT,
    PRELOAD,
    VARIABLES_SIZE,
    assert_led_nowhere,
    block_of,
    lengths_of,
    new_directories,
    old_directories,
    texts_from,
)
from tests.compat.relocate.small_elf import CODE, TEXTS, VARIABLES, elf

X86_64 = 62
TRIPLET = "x86_64-linux-gnu"
OLD, NEW = old_directories(TRIPLET), new_directories("x86_64")
BLOCK, LENGTHS = block_of(OLD), lengths_of(OLD)
SUBDIRECTORIES = b"x86-64-v4:x86-64-v3:x86-64-v2"


@dataclass(frozen=True)
class Made:
    """A loader as glibc's source says, but for what is given. The texts are one after the other: the array of lengths,
    the directories, and behind something else what `--list-diagnostics` tells."""

    lengths: bytes = LENGTHS
    between: bytes = b""
    block: bytes = BLOCK
    diagnostics: bytes = BLOCK
    cache: bytes = b"\0" + CACHE + b"\0"
    preload: bytes = b"\0" + PRELOAD + b"\0"
    subdirectories: bytes = b"\0" + SUBDIRECTORIES + b"\0"
    tunables: bytes = b""
    starts: int = 3
    ends: int = 0
    first_lengths: int = 1
    longest_at: int = LONGEST_AT
    told: int = 1
    told_from: int = 0
    told_length: int = len(OLD[0])
    further: Callable[[Code, Made], None] = lambda code, made: None
    machine: int = X86_64
    room: int = 0x1000

    @property
    def directories_at(self) -> int:
        return TEXTS + len(self.lengths) + len(self.between)

    @property
    def told_at(self) -> int:
        return self.directories_at + len(self.block) + 256

    def image(self) -> ElfImage:
        texts = self.lengths + self.between + self.block + bytes(256) + self.diagnostics + self.cache + self.preload
        texts += self.subdirectories + self.tunables
        texts += b"x" * (-len(texts) % 0x1000 - self.room) if self.room < 0x800 else b""
        code = Code()
        code.lea(self.directories_at)
        code.lea(self.directories_at + len(OLD[0]) + 1)
        for _ in range(self.first_lengths):
            code.text += b"\x48\xc7\x40\x20" + struct.pack("<i", len(OLD[0]))
        code.store(max(map(len, OLD)), self.longest_at)
        for _ in range(self.starts - 1):
            code.text += b"\x90" * 64
            code.lea(self.directories_at)
        for _ in range(self.ends):
            code.text += b"\x90" * 64 + b"\xe8" + bytes(4)
            code.lea(self.directories_at)
            code.text += b"\x85\xc0"
        code.text += b"\x90" * 200
        for _ in range(self.told):
            code.text += b"\xb9" + struct.pack("<i", self.told_length)
            code.lea(self.told_at + self.told_from)
        self.further(code, self)
        return ElfImage(elf(self.machine, code.text, texts, variables=VARIABLES_SIZE))


class Code:
    """Instructions, one after the other from CODE on."""

    def __init__(self) -> None:
        self.text = b""

    def lea(self, target: int) -> None:
        self.text += b"\x48\x8d\x05" + struct.pack("<i", target - (CODE + len(self.text) + 7))

    def store(self, number: int, target: int) -> None:
        """`movq $number, target(%rip)`."""
        self.text += b"\x48\xc7\x05" + struct.pack("<ii", target - (CODE + len(self.text) + 11), number)


def led_to(image: ElfImage) -> list[int]:
    """The addresses that the code refers to, in its order."""
    found, place = [], CODE
    while (place := image.data.find(b"\x48\x8d\x05", place, TEXTS)) >= 0:
        found.append(place + 7 + struct.unpack_from("<i", image.data, place + 3)[0])
        place += 7
    return found


def moved(image: ElfImage, new: Sequence[str] = NEW) -> None:
    move_loader(image, TRIPLET, new)


@pytest.mark.parametrize("made", [Made(), Made(ends=2), Made(between=b"between!")], ids=["plain", "compared", "apart"])
def test_all_that_speaks_of_the_directories_speaks_of_the_new_ones(made: Made) -> None:
    image = made.image()
    before = bytes(image.data)
    moved(image)
    first, second, *starts, told = led_to(image)
    assert image.string(image.offset(first)) == NEW[0].encode() + b"/"
    assert image.string(image.offset(second)) == NEW[1].encode() + b"/"
    assert texts_from(image, first, 4) == [f"{path}/".encode() for path in NEW]
    # A comparison with the end of the lengths is none with the beginning of the directories, which have one address.
    assert starts == [first, first] + [made.directories_at] * made.ends
    assert told == first
    assert struct.unpack_from("<4Q", image.data, TEXTS) == tuple(len(path) + 1 for path in NEW)
    data = bytes(image.data)
    length, longest = len(NEW[0]) + 1, max(map(len, NEW)) + 1
    assert data.count(b"\x48\xc7\x40\x20" + struct.pack("<i", length)) == 1
    assert data.count(struct.pack("<i", longest), CODE, TEXTS) == 1
    assert data.count(b"\xb9" + struct.pack("<i", length)) == 1
    assert_led_nowhere(before, data)
    # Nothing behind the variables, which kernels before 6.7 would not clear, and no other byte has moved.
    assert len(image.finished()) == len(before)
    assert image.data[VARIABLES:] == before[VARIABLES:]


def test_what_was_moved_once_is_refused() -> None:
    image = Made().image()
    moved(image)
    with pytest.raises(FormatError, match="the loader's"):
        moved(ElfImage(image.finished()))


def _another_start(code: Code, made: Made) -> None:
    code.lea(made.directories_at)


def _into_the_middle(code: Code, made: Made) -> None:
    code.lea(made.directories_at + 5)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Made(block=b"\0" * len(BLOCK)), "arrays of directories"),
        (Made(cache=BLOCK + b"\0" + CACHE + b"\0"), "arrays of directories"),
        (Made(lengths=bytes(32)), "lengths was found 0 times"),
        (Made(between=LENGTHS), "lengths was found 2 times"),
        (Made(starts=2), "references to its directories"),
        (Made(further=_another_start), "references to its directories"),
        (Made(further=_into_the_middle), "other references to its directories"),
        (Made(ends=1), "loops over the lengths"),
        (Made(first_lengths=0), "first length was found 0 times"),
        (Made(first_lengths=2), "first length was found 2 times"),
        (Made(longest_at=VARIABLES), "longest length was found 0 times"),
        (Made(longest_at=VARIABLES + VARIABLES_SIZE), "longest length was found 0 times"),
        (Made(told=0), "diagnostics was found 0 times"),
        (Made(told=2), "diagnostics was found 2 times"),
        (Made(told_from=len(OLD[0]) + 1), "diagnostics is not as the source says"),
        (Made(told_length=7), "told first length was found 0 times"),
        (Made(cache=b"\0/etc/ld.so.other\0"), "ld.so.cache was found 0 times"),
        (Made(preload=b"\0" + CACHE + b"\0" + PRELOAD + b"\0"), "ld.so.cache was found 2 times"),
        (Made(cache=(b"\0" + CACHE) * 2 + b"\0"), "ld.so.cache was found 2 times"),
        (Made(preload=b"\0/etc/ld.so.preloads\0"), "ld.so.preload was found 0 times"),
        (Made(subdirectories=b"\0x86-64-v5:x86-64-v4\0"), "x86-64-v2 was found 0 times"),
        (Made(room=100), "has no room"),
        (Made(machine=40), "is for processor 40"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_loader_that_is_not_as_the_source_says_is_refused(made: Made, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        moved(made.image())


@pytest.mark.parametrize("new", [(), (*NEW, "/fifth"), ("/" + "x" * 1500, *NEW[1:])], ids=["none", "five", "too long"])
def test_only_one_to_four_directories_that_a_buffer_holds_are_taken(new: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="number of directories"):
        move_trusted_directories(Made().image(), TRIPLET, new)


def tunable(name: bytes, value: int) -> bytes:
    """A number of 64 bits in glibc's list of tunables: its name, type, least and greatest value, and its default."""
    return b"\0" + name.ljust(47, b"\0") + struct.pack("<QQQQQ", 1, 0, 2**64 - 1, value, 0)


def test_directories_of_newer_processors_are_not_asked_for() -> None:
    mask, other = b"glibc.cpu.hwcap_mask", b"glibc.cpu.x86_data_cache_size"
    image = Made(tunables=tunable(mask, 6) + tunable(other, 6) + tunable(mask + b"s", 6)).image()
    before = bytes(image.data)
    moved(image)
    assert image.string(before.find(SUBDIRECTORIES)) == b""
    changed = [name for name in (mask, other, mask + b"s") if tunable(name, 6) not in image.data]
    assert changed == [mask]
    assert tunable(mask, 0) in image.data


def test_another_triplet_has_no_such_array() -> None:
    data = bytes(Made().image().data)
    assert has_trusted_directories(data, TRIPLET)
    assert not has_trusted_directories(data, "aarch64-linux-gnu")
    with pytest.raises(FormatError, match="arrays of directories"):
        move_trusted_directories(Made().image(), "aarch64-linux-gnu", NEW)


@pytest.mark.property
@given(st.lists(st.text("abc/", min_size=1, max_size=300).map(lambda text: f"/{text}"), min_size=4, max_size=4))
def test_any_four_directories_are_trusted(new: list[str]) -> None:
    image = replace(Made(), ends=2).image()
    image.in_padding = True
    move_trusted_directories(image, TRIPLET, new)
    assert texts_from(image, led_to(image)[0], 4) == [f"{path}/".encode() for path in new]
    assert struct.unpack_from("<4Q", image.data, TEXTS) == tuple(len(path) + 1 for path in new)
    ElfImage(image.finished())
