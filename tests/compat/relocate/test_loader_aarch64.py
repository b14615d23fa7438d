"""The loader's trusted directories in made-up loaders for aarch64: what their code computes then, or the refusal."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.loader import move_loader, move_trusted_directories
from outcrop.errors import FormatError
from tests.compat.relocate import small_aarch64 as a64
from tests.compat.relocate.made_loader import (
    CACHE,
    ENTRY,
    LONGEST_AT,
    PRELOAD,
    VARIABLES_SIZE,
    assert_led_nowhere,
    block_of,
    changes,
    data_of,
    lengths_of,
    new_directories,
    old_directories,
    places_of_data,
    texts_from,
)
from tests.compat.relocate.small_elf import CODE, TEXTS, VARIABLES, elf

AARCH64 = 183
TRIPLET = "aarch64-linux-gnu"
OLD, NEW = old_directories(TRIPLET), new_directories("aarch64")
BLOCK, LENGTHS, DATA = block_of(OLD), lengths_of(OLD), data_of(OLD)
FIRST, LONGEST = len(OLD[0]), len(OLD[1])
PATH, TABLE = 0x900000, 0xA00000
"""Given to functions: a path to judge, and where the table of directories is to be."""


class Code:
    """Instructions, one after the other from CODE on, of which some have names. `filled`: how many `nop` come before
    those names."""

    def __init__(self, filled: Mapping[str, int]) -> None:
        self.words: list[int] = []
        self.names: dict[str, int] = {}
        self._filled = filled

    @property
    def here(self) -> int:
        return CODE + 4 * len(self.words)

    def add(self, *words: int) -> None:
        self.words += words

    def named(self, name: str, *words: int) -> None:
        self.words += [a64.NOP] * self._filled.get(name, 0)
        self.names[name] = len(self.words)
        self.words += words

    def pair(self, name: str, register: int, target: int) -> None:
        """`adrp` and `add`, side by side."""
        self.named(name, a64.adrp(register, self.here, target), a64.low(register, register, target))

    def back_to(self, name: str) -> None:
        self.add(a64.unless_equal(self.names[name] - len(self.words)))


@dataclass(frozen=True)
class Made:
    """A loader as glibc's source says and GCC makes it, but for what is given: other `words` from a name on."""

    words: Mapping[str, Sequence[int]] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)
    data: bytes = DATA
    texts_at: int = TEXTS
    variables_at: int = VARIABLES
    longest_at: int = LONGEST_AT
    told_at: int = 0

    def code(self) -> Code:
        code = Code(self.filled)
        directories = self.texts_at + DATA.index(BLOCK)
        lengths = self.texts_at + DATA.index(LENGTHS)
        told = self.texts_at + DATA.rindex(BLOCK) + self.told_at
        self._trusted(code, directories, lengths - directories)
        self._opened(code, directories, lengths - directories)
        self._diagnostics(code, told)
        self._paths(code, directories, lengths - directories)
        for name, words in self.words.items():
            code.words[code.names[name] : code.names[name] + len(words)] = words
        return code

    def _trusted(self, code: Code, directories: int, lengths: int) -> None:
        """`is_trusted_path_normalize`: memcmp(directory, x22, its length) for each."""
        code.named("trusted", *[a64.NOP] * 2)
        code.pair("trusted: first", 21, directories)
        code.named("trusted: lengths", a64.add(24, 21, lengths))
        code.named("trusted: spare", *[a64.NOP] * 4)
        code.add(a64.number(20, 0))
        code.named("trusted: loop", a64.load_indexed(19, 24, 20), a64.copy(1, 22), a64.copy(0, 21), a64.copy(2, 19))
        code.add(a64.call(40), a64.add(19, 19, 1), a64.add(20, 20, 1), a64.add_registers(21, 21, 19))
        code.add(a64.compare_number(20, 4))
        code.back_to("trusted: loop")
        code.add(a64.RET)

    def _opened(self, code: Code, directories: int, lengths: int) -> None:
        """`_dl_map_object`: memcmp(x22, directory, its length) for each."""
        code.named("opened", a64.NOP)
        code.pair("opened: first", 1, directories)
        code.named("opened: lengths", a64.add(24, 1, lengths))
        code.add(a64.copy(21, 1), a64.number(20, 0))
        code.named("opened: loop", a64.load_indexed(19, 24, 20), a64.copy(1, 21), a64.copy(0, 22), a64.copy(2, 19))
        code.add(a64.call(-40), a64.add(0, 19, 1), a64.add(20, 20, 1), a64.add_registers(21, 21, 0))
        code.add(a64.compare_number(20, 4))
        code.back_to("opened: loop")
        code.add(a64.RET, *[a64.NOP] * 3)

    def _diagnostics(self, code: Code, told: int) -> None:
        """`_dl_print_diagnostics`: prints x0, x2 characters of it. Its address is formed from another table's."""
        anchor = told - 0x118
        code.named("diagnostics", a64.adrp(21, code.here, anchor), a64.call(-60), a64.low(21, 21, anchor))
        code.named("diagnostics: spare", *[a64.NOP] * 2)
        code.named("told", a64.add(23, 21, 0x118))
        code.named("told first length", a64.number(21, FIRST), a64.NOP)
        code.add(a64.copy(0, 23), a64.copy(2, 21), a64.call(-60), a64.RET)

    def _paths(self, code: Code, directories: int, lengths: int) -> None:
        """`_dl_init_paths`: the table of directories, whose first entry is at x22, and the longest length."""
        code.named("paths", *[a64.NOP] * 2)
        code.named("paths: variables", a64.adrp(2, code.here, self.variables_at))
        code.pair("paths: first", 0, directories)
        code.named("paths: lengths", a64.add(24, 0, lengths))
        code.add(a64.store(22, 2, 0x80))
        code.named("paths: end of lengths", a64.add(23, 0, lengths + 24))
        code.named("paths: second", a64.add(26, 0, FIRST + 1))
        code.named("paths: spare", *[a64.NOP] * 4)
        code.named("first length", a64.number(1, FIRST))
        code.named("first length stored", a64.store_pair(0, 1, 22, 24), a64.NOP)
        code.named("paths: loop", a64.add(22, 22, ENTRY), a64.load_next(1, 24), a64.add(0, 1, 1))
        code.add(a64.add_registers(0, 26, 0), a64.store_pair(26, 1, 22, 24), a64.load_byte(1, 26), a64.copy(26, 0))
        code.add(a64.compare(23, 24))
        code.back_to("paths: loop")
        code.named("longest variable", a64.adrp(0, code.here, self.longest_at))
        code.named("longest", a64.number(1, LONGEST))
        code.named("longest: spare", *[a64.NOP] * 3)
        code.named("longest stored", a64.store(1, 0, self.longest_at & 0xFFF))
        code.add(a64.RET)
        code.named("unreachable", *[a64.NOP] * 3)

    def image(self) -> ElfImage:
        code = self.code()
        return ElfImage(
            elf(
                AARCH64,
                struct.pack(f"<{len(code.words)}I", *code.words),
                self.data,
                functions=[self.place(name) for name in ("trusted", "opened", "diagnostics", "paths")],
                texts_at=self.texts_at,
                variables=VARIABLES_SIZE,
                variables_at=self.variables_at,
                together=True,
            )
        )

    def place(self, name: str) -> int:
        """The address of the instruction `name`."""
        return CODE + 4 * self.code().names[name]


PLAIN = Made()
AT = {name: PLAIN.place(name) for name in PLAIN.code().names}
STORED_APART = {"first length stored": [a64.store(0, 22, 24), a64.store(1, 22, 32)]}
"""As GCC 12 does it."""
OTHER_REGISTERS = {
    "paths: spare": [a64.copy(3, 0)],
    "first length": [a64.number(6, FIRST)],
    "first length stored": [a64.store_pair(3, 6, 22, 24)],
    "longest variable": [a64.adrp(13, AT["longest variable"], LONGEST_AT)],
    "longest": [a64.number(6, LONGEST)],
    "longest stored": [a64.store(6, 13, LONGEST_AT & 0xFFF)],
}
PAIRS = ("trusted: first", "opened: first", "paths: first")
SINGLE = ("trusted: lengths", "opened: lengths", "paths: lengths", "paths: end of lengths", "paths: second")
NUMBERS = ("first length", "longest", "told", "told first length")
"""The instructions, pairs and single, that are others in a loader that was moved."""


def moved(image: ElfImage, new: Sequence[str] = NEW) -> None:
    move_loader(image, TRIPLET, new)


def assert_speaks_of(made: Made, image: ElfImage, directories: Sequence[bytes]) -> None:
    """Whatever the code does with the directories it does with just these."""
    expected = list(directories)
    trusted = a64.run(image, made.place("trusted"), {22: PATH})
    assert trusted.called_with(0) == expected
    assert {path for _, path, _ in trusted.calls} == {PATH}
    paths = a64.run(image, made.place("paths"), {22: TABLE})
    assert paths.table(TABLE) == expected
    assert paths.stored[made.longest_at] == max(map(len, expected))
    opened = a64.run(image, made.place("opened"), {22: PATH})
    assert opened.called_with(1) == expected
    assert {path for path, _, _ in opened.calls} == {PATH}
    *_, (told, _, length) = a64.run(image, made.place("diagnostics"), {}).calls
    assert texts_from(image, told, 4) == expected
    assert length == len(expected[0])
    start = image.offset(made.texts_at) + DATA.index(LENGTHS)
    assert image.data[start : start + 32] == lengths_of(expected)


@pytest.mark.parametrize(
    "made",
    [
        PLAIN,
        Made(STORED_APART),
        Made(OTHER_REGISTERS),
        Made(OTHER_REGISTERS | {"first length stored": [a64.store(3, 22, 24), a64.store(6, 22, 32)]}),
        Made(texts_at=TEXTS + 0xF0, data=DATA.ljust(0x900, b"x")),
        Made(texts_at=0x1FF0),
        Made(longest_at=VARIABLES + 8),
        Made(longest_at=VARIABLES + VARIABLES_SIZE - 8),
    ],
    ids=[
        *("stored together", "stored apart", "other registers", "other registers, stored apart", "elsewhere"),
        *("array over two pages", "first variable", "last variable"),
    ],
)
def test_all_that_speaks_of_the_directories_speaks_of_the_new_ones(made: Made) -> None:
    image, old = made.image(), made.image()
    assert_speaks_of(made, old, OLD)
    moved(image)
    assert_speaks_of(made, image, [f"{path}/".encode() for path in NEW])
    assert_led_nowhere(bytes(old.data), bytes(image.data))
    # The list that `--list-diagnostics` goes through ends behind the last.
    *_, (told, _, _) = a64.run(image, made.place("diagnostics"), {}).calls
    assert texts_from(image, told, 5)[4] == b""


def test_nothing_else_in_the_file_changes() -> None:
    old, image = PLAIN.image(), PLAIN.image()
    moved(image)
    found = changes(bytes(old.data), image.finished())
    code = {name: {*range(AT[name], AT[name] + (8 if name in PAIRS else 4))} for name in PAIRS + SINGLE + NUMBERS}
    assert found <= places_of_data(old, image, OLD).union(*code.values())
    assert [name for name, places in code.items() if not places & found] == []


def test_fewer_directories_take_all_places() -> None:
    image = PLAIN.image()
    moved(image, NEW[:2])
    first, last = (f"{path}/".encode() for path in NEW[:2])
    assert_speaks_of(PLAIN, image, [first, last, last, last])


def test_what_was_moved_once_is_refused() -> None:
    image = PLAIN.image()
    moved(image)
    with pytest.raises(FormatError, match="lengths was found 0 times"):
        moved(ElfImage(image.finished()))


def form(name: str, register: int, target: int) -> dict[str, list[int]]:
    """`adrp` and `add` from `name` on."""
    return {name: [a64.adrp(register, AT[name], target), a64.low(register, register, target)]}


def over(name: str) -> list[int]:
    """A branch over the first instruction of `name`, from two before it."""
    return [a64.if_equal(3), a64.NOP]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Made(data=DATA.replace(BLOCK, bytes(len(BLOCK)), 1)), "arrays of directories is not as the source says"),
        (Made(data=DATA + BLOCK), "arrays of directories is not as the source says"),
        (Made(data=DATA.replace(LENGTHS, bytes(32))), "lengths was found 0 times"),
        (Made(data=DATA + LENGTHS), "lengths was found 2 times"),
        (Made(data=LENGTHS + BLOCK + b"\0" * 64 + BLOCK), "order of its arrays is not as the source says"),
        (Made({"trusted: first": [a64.NOP] * 2}), "references to its directories"),
        (Made({"opened: first": [a64.NOP] * 2}), "references to its directories"),
        (Made(form("trusted: spare", 3, TEXTS)), "references to its directories"),
        (Made(form("trusted: spare", 3, TEXTS + 5)), "other references to its directories"),
        (Made(form("trusted: spare", 3, TEXTS + len(BLOCK) - 1)), "other references to its directories"),
        (Made({"paths: second": [a64.NOP]}), "reference to its second directory was found 0 times"),
        (Made({"paths: spare": [a64.add(3, 0, FIRST + 1)]}), "reference to its second directory was found 2 times"),
        (
            Made({"opened: first": [a64.NOP] * 2} | form("paths", 7, TEXTS)),
            "table of directories was found 2 times",
        ),
        (Made({"first length": [a64.NOP]}), "first length was found 0 times"),
        (Made({"first length": [a64.number(1, FIRST - 1)]}), "first length was found 0 times"),
        (Made({"first length": [a64.number(3, FIRST)]}), "first length was found 0 times"),
        (Made({"first length stored": [a64.NOP]}), "first length was found 0 times"),
        (Made({"first length stored": [a64.store_pair(1, 0, 22, 24)]}), "first length was found 0 times"),
        (Made({"first length stored": [a64.store_pair(0, 1, 22, 16)]}), "first length was found 0 times"),
        (Made({"first length stored": [a64.NOP, a64.store(1, 22, 24)]}), "first length was found 0 times"),
        (
            Made({"paths: spare": [a64.number(1, FIRST), a64.store(1, 22, 32)]}),
            "first length was found 2 times",
        ),
        (Made({"first length stored": [a64.number(1, 5), a64.store(1, 22, 32)]}), "first length was found 0 times"),
        (Made({"longest": [a64.NOP]}), "longest length was found 0 times"),
        (Made({"longest": [a64.number(1, LONGEST + 1)]}), "longest length was found 0 times"),
        (Made({"longest": [a64.number(2, LONGEST)]}), "longest length was found 0 times"),
        (Made({"longest stored": [a64.NOP]}), "longest length was found 0 times"),
        (Made({"longest variable": [a64.NOP]}), "longest length was found 0 times"),
        (Made({"longest: spare": [a64.number(1, 5)]}), "longest length was found 0 times"),
        (Made({"longest: spare": [a64.call(-40)]}), "longest length was found 0 times"),
        (Made(longest_at=VARIABLES), "longest length was found 0 times"),
        (Made(longest_at=VARIABLES + VARIABLES_SIZE), "longest length was found 0 times"),
        (
            Made({"longest: spare": [a64.store(1, 0, 0x50), a64.number(1, LONGEST)]}),
            "longest length was found 2 times",
        ),
        (
            Made({"longest": [a64.NOP], "unreachable": [a64.number(1, LONGEST), a64.store(1, 0, 0x40), a64.jump(-2)]}),
            "longest length was found 0 times",
        ),
        (Made({"told": [a64.NOP]}), "diagnostics was found 0 times"),
        (Made({"diagnostics: spare": [a64.add(5, 21, 0x118)]}), "diagnostics was found 2 times"),
        (Made(told_at=FIRST + 1), "diagnostics is not as the source says"),
        (Made({"told first length": [a64.number(21, FIRST + 1)]}), "told first length was found 0 times"),
        (Made({"told first length": [a64.number(21, FIRST)] * 2}), "told first length was found 2 times"),
        (Made({"trusted": over("trusted: first")}), "the loader's code is too far from the new directories, or not"),
        (Made({"paths: spare": [a64.load_pair(3, 4, 0)]}), "the loader's code is too far from the new directories, or"),
        (Made({"paths: spare": [a64.load_pair(3, 4, 26)]}), "the loader's code is too far from the new directories"),
        (Made({"told first length": [a64.number(21, FIRST), a64.load_pair(3, 4, 23)]}), "the loader's code is too far"),
        (Made(texts_at=0x200000, variables_at=0x300000, longest_at=0x300040), "takes no code"),
        (Made(data=DATA.ljust(0x1000 - 300, b"x")), "has no room"),
        (Made(data=DATA.replace(CACHE, b"/etc/ld.so.other")), "ld.so.cache was found 0 times"),
        (Made(data=DATA + CACHE + b"\0"), "ld.so.cache was found 2 times"),
        (Made(data=DATA.replace(PRELOAD, PRELOAD + b"s")), "ld.so.preload was found 0 times"),
        (Made(data=DATA + PRELOAD + b"\0"), "ld.so.preload was found 2 times"),
    ],
)  # fmt: skip
def test_a_loader_that_is_not_as_the_source_says_is_refused(made: Made, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        moved(made.image())


@pytest.mark.parametrize("flag", [5, 6], ids=["code", "variables"])
def test_only_one_segment_each_of_code_and_of_variables_is_known(flag: int) -> None:
    image = PLAIN.image()
    image.segments.append(replace(image.loaded[0], flags=flag, offset=0x100000, address=0x100000))
    with pytest.raises(FormatError, match=f"{'code' if flag == 5 else 'variables'} was found 2 times"):
        moved(image)


@pytest.mark.parametrize(
    ("name", "most", "told"),
    [
        ("paths: second", 11, "table of directories was found 0 times"),
        ("first length", 22, "first length was found 0 times"),
        ("first length stored", 12, "first length was found 0 times"),
        ("longest", 73, "longest length was found 0 times"),
        ("longest stored", 9, "longest length was found 0 times"),
        ("told first length", 10, "told first length was found 0 times"),
    ],
)
def test_what_belongs_together_is_looked_for_within_twice_what_is_seen(name: str, most: int, told: str) -> None:
    made = Made(filled={name: most})
    image = made.image()
    moved(image)
    assert_speaks_of(made, image, [f"{path}/".encode() for path in NEW])
    with pytest.raises(FormatError, match=told):
        moved(Made(filled={name: most + 1}).image())


@pytest.mark.property
@given(
    st.lists(st.text("abc/", min_size=1, max_size=200).map(lambda text: f"/{text}"), min_size=4, max_size=4),
    st.integers(0, 0x8F),
)
def test_any_four_directories_are_trusted(new: list[str], shift: int) -> None:
    made = Made(texts_at=TEXTS + 16 * shift)
    image = made.image()
    image.in_padding = True
    move_trusted_directories(image, TRIPLET, new)
    assert_speaks_of(made, ElfImage(image.finished()), [f"{path}/".encode() for path in new])
