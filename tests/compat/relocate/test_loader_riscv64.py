"""The loader's trusted directories in made-up loaders for riscv64: what their code computes then, or the refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.compat.relocate.loader import move_loader, move_trusted_directories
from outcrop.compat.relocate.loader_arrays import Arrays
from outcrop.compat.relocate.loader_riscv64 import move_directories
from outcrop.errors import FormatError
from tests.compat.relocate import small_riscv64 as rv
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
)
from tests.compat.relocate.small_elf import CODE, TEXTS, VARIABLES, elf
from tests.compat.relocate.small_riscv64 import A0, A1, A2, A3, A4, A5, A6, S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11

RISCV64 = 243
TRIPLET = "riscv64-linux-gnu"
OLD, NEW = old_directories(TRIPLET), new_directories("riscv64")
BLOCK, LENGTHS, DATA = block_of(OLD), lengths_of(OLD), data_of(OLD)
FIRST, LONGEST = len(OLD[0]), len(OLD[1])
ROOM = 4096
"""What the longest length becomes: an instruction of two bytes can set no other."""
PATH, TABLE = 0x900000, 0xA00000
"""Given to functions: a path to judge, and where the table of directories is to be."""


class Code:
    """Instructions, one after the other from CODE on, of which some have names. `filled`: how many `c.nop` come before
    those names."""

    def __init__(self, filled: Mapping[str, int]) -> None:
        self.text = bytearray()
        self.names: dict[str, int] = {}
        self._filled = filled

    @property
    def here(self) -> int:
        return CODE + len(self.text)

    def add(self, *instructions: bytes) -> None:
        self.text += b"".join(instructions)

    def named(self, name: str, *instructions: bytes) -> None:
        self.text += rv.NOP * self._filled.get(name, 0)
        self.names[name] = len(self.text)
        self.add(*instructions)

    def pair(self, name: str, register: int, target: int) -> None:
        self.named(name)
        self.add(rv.pair_to(register, self.here, target))

    def back_to(self, name: str, first: int, second: int) -> None:
        """`bne first, second, name`."""
        self.add(rv.unless_equal(first, second, self.names[name] - len(self.text)))


@dataclass(frozen=True)
class Made:
    """A loader as glibc's source says and GCC makes it, but for what is given: other `words` from a name on."""

    words: Mapping[str, bytes] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)
    data: bytes = DATA
    texts_at: int = TEXTS
    variables_at: int = VARIABLES
    longest_at: int = LONGEST_AT
    told_from: int = 0
    together: bool = True

    def code(self) -> Code:
        code = Code(self.filled)
        directories = self.texts_at + DATA.index(BLOCK)
        lengths = self.texts_at + DATA.index(LENGTHS)
        self._trusted(code, directories, lengths)
        self._opened(code, directories, lengths)
        self._diagnostics(code, self.texts_at + DATA.rindex(BLOCK) + self.told_from)
        self._paths(code, directories, lengths)
        for name, words in self.words.items():
            code.text[code.names[name] : code.names[name] + len(words)] = words
        return code

    def _trusted(self, code: Code, directories: int, lengths: int) -> None:
        """`is_trusted_path_normalize`: memcmp(directory, s4, its length) for each."""
        code.named("trusted", rv.NOP)
        code.pair("trusted: lengths", S2, lengths)
        code.pair("trusted: end of lengths", S6, lengths + 32)
        code.pair("trusted: first", S3, directories)
        code.named("trusted: spare", rv.NOP * 6)
        code.named("trusted: loop", rv.load(S1, S2, 0), rv.copy(A1, S4), rv.copy(A0, S3), rv.copy(A2, S1))
        code.add(rv.call(0x124), rv.count(S1, 1), rv.count(S2, 8), rv.add_to(S3, S1))
        code.back_to("trusted: loop", S6, S2)
        code.add(rv.RET)

    def _opened(self, code: Code, directories: int, lengths: int) -> None:
        """`_dl_map_object`: memcmp(a6, directory, its length) for each."""
        code.named("opened", rv.NOP)
        code.pair("opened: lengths", S9, lengths)
        code.pair("opened: first", A1, directories)
        code.named("opened: loop", rv.load(S11, S9, 0), rv.copy(A0, A6), rv.store(A1, rv.SP, 48), rv.copy(A2, S11))
        code.add(rv.call(-0x124))
        code.pair("opened: end of lengths", A5, lengths + 32)
        code.add(rv.add(A2, S11, 1), rv.count(S9, 8), rv.add_to(A1, A2))
        code.back_to("opened: loop", A5, S9)
        code.add(rv.RET)

    def _diagnostics(self, code: Code, told: int) -> None:
        """`_dl_print_diagnostics`: prints a0, a2 characters of it."""
        code.named("diagnostics", rv.number(S2, FIRST))
        code.pair("told", S3, told)
        code.named("diagnostics: spare", rv.NOP * 4)
        code.add(rv.copy(A0, S3), rv.copy(A2, S2), rv.call(-0x124), rv.RET)

    def _paths(self, code: Code, directories: int, lengths: int) -> None:
        """`_dl_init_paths`: the table of directories, whose first entry is at s10, and the longest length."""
        code.named("paths", rv.NOP * 4)
        code.add(rv.store_at(S10, A5, code.here, self.variables_at + 0x80))
        code.pair("paths: first", A3, directories)
        code.named("first length", rv.number(A5, FIRST))
        code.named("first length: spare", rv.NOP * 2)
        code.named("first length: more", rv.store(0, S10, 16), rv.store(S7, S10, 8), rv.store(A3, S10, 24))
        code.named("first length stored", rv.store(A5, S10, 32))
        code.named("paths: spare", rv.NOP * 2)
        code.pair("paths: lengths", S5, lengths)
        code.pair("paths: end of lengths", S6, lengths + 24)
        code.pair("paths: second", S8, directories + FIRST + 1)
        code.named("paths: spare, later", rv.NOP * 4)
        code.named("paths: loop", rv.load(A2, S5, 8), rv.add(A5, S10, ENTRY), rv.store(A2, A5, 32))
        code.add(rv.store(S7, A5, 8), rv.store(S8, A5, 24), rv.load_byte(A4, S8), rv.count(A2, 1))
        code.add(rv.add_registers(A3, S8, A2), rv.count(S5, 8), rv.copy(S8, A3), rv.copy(S10, A5))
        code.back_to("paths: loop", S6, S5)
        code.named("longest", rv.number(A5, LONGEST))
        code.named("longest: more", rv.store(0, S10, 0), rv.store(0, S1, 32))
        code.named("longest: spare", rv.NOP * 5)
        code.named("longest stored")
        code.add(rv.store_at(A5, A4, code.here, self.longest_at), rv.RET)

    def image(self) -> ElfImage:
        code = self.code()
        return ElfImage(
            elf(
                RISCV64,
                bytes(code.text),
                self.data,
                texts_at=self.texts_at,
                variables=VARIABLES_SIZE,
                variables_at=self.variables_at,
                together=self.together,
            )
        )

    def place(self, name: str) -> int:
        """The address of the instruction `name`."""
        return CODE + self.code().names[name]


PLAIN = Made()
AT = {name: PLAIN.place(name) for name in PLAIN.code().names}
OTHER_REGISTERS = {
    "first length": rv.number(S11, FIRST),
    "first length stored": rv.store(S11, S10, 32),
    "longest": rv.number(S5, LONGEST),
    "longest stored": rv.store_at(S5, A1, AT["longest stored"], LONGEST_AT),
}
CHANGED = {"trusted: first": 8, "opened: first": 8, "paths: first": 8, "paths: second": 8} | {
    "first length": 2,
    "longest": 2,
}
"""The instructions that are others in a loader that was moved, and how many bytes they have."""


def moved(image: ElfImage, new: Sequence[str] = NEW) -> None:
    move_loader(image, TRIPLET, new)


def assert_speaks_of(made: Made, image: ElfImage, directories: Sequence[bytes], longest: int = ROOM) -> None:
    """Whatever the code does with the directories it does with just these."""
    expected = list(directories)
    trusted = rv.run(image, made.place("trusted"), {S4: PATH})
    assert trusted.called_with(0) == expected
    assert {path for _, path, _ in trusted.calls} == {PATH}
    paths = rv.run(image, made.place("paths"), {S10: TABLE, S1: TABLE + 0x1000, S7: 7})
    assert paths.table(TABLE) == expected
    assert paths.stored[made.longest_at] == longest >= max(map(len, expected))
    opened = rv.run(image, made.place("opened"), {A6: PATH})
    assert opened.called_with(1) == expected
    assert {path for path, _, _ in opened.calls} == {PATH}
    start = image.offset(made.texts_at) + DATA.index(LENGTHS)
    assert image.data[start : start + 32] == lengths_of(expected)


def told_by(made: Made, image: ElfImage) -> list[bytes]:
    """What `--list-diagnostics` tells of the directories."""
    ((told, _, length),) = rv.run(image, made.place("diagnostics"), {}).calls
    texts = [image.in_memory(told, length)]
    place = told + length + 1
    while text := image.string(image.offset(place)):
        texts.append(text)
        place += len(text) + 1
    return texts


@pytest.mark.parametrize(
    "made",
    [
        PLAIN,
        Made({"paths: first": rv.auipc(A5, TEXTS - AT["paths: first"]) + rv.add(A3, A5, TEXTS - AT["paths: first"])}),
        Made(OTHER_REGISTERS),
        Made(texts_at=TEXTS + 0xF0, data=DATA.ljust(0x900, b"x")),
        Made(texts_at=0x1FF0),
        Made(longest_at=VARIABLES + 8),
        Made(longest_at=VARIABLES + VARIABLES_SIZE - 8, filled={"trusted": 11}),
        Made(variables_at=VARIABLES + 0x600, longest_at=LONGEST_AT + 0x600),
    ],
    ids=[
        *("plain", "two registers", "other registers", "elsewhere", "array over two pages"),
        *("first variable", "last variable", "variables elsewhere"),
    ],
)
def test_all_that_speaks_of_the_directories_speaks_of_the_new_ones(made: Made) -> None:
    image, old = made.image(), made.image()
    assert_speaks_of(made, old, OLD, LONGEST)
    assert told_by(made, old) == list(OLD)
    moved(image)
    assert_speaks_of(made, image, [f"{path}/".encode() for path in NEW])
    assert told_by(made, image) == [b"(a layer's own)".ljust(FIRST, b".")]
    assert_led_nowhere(bytes(old.data), bytes(image.data))


def test_no_old_directory_is_left() -> None:
    image = PLAIN.image()
    moved(image)
    assert [one for one in OLD if b"\0" + one + b"\0" in image.data] == []


def test_nothing_else_in_the_file_changes() -> None:
    old, image = PLAIN.image(), PLAIN.image()
    moved(image)
    found = changes(bytes(old.data), image.finished())
    code = {name: {*range(AT[name], AT[name] + size)} for name, size in CHANGED.items()}
    blocks = [TEXTS + DATA.index(BLOCK), TEXTS + DATA.rindex(BLOCK)]
    texts = [{*range(block, block + len(BLOCK))} for block in blocks]
    assert found <= places_of_data(old, image, OLD).union(*code.values(), *texts)
    assert [name for name, places in code.items() if not places & found] == []


def test_fewer_directories_take_all_places() -> None:
    image = PLAIN.image()
    moved(image, NEW[:2])
    first, last = (f"{path}/".encode() for path in NEW[:2])
    assert_speaks_of(PLAIN, image, [first, last, last, last])


def test_what_was_moved_once_is_refused() -> None:
    image = PLAIN.image()
    moved(image)
    with pytest.raises(FormatError, match="arrays of directories is not as the source says"):
        moved(ElfImage(image.finished()))


def form(name: str, register: int, target: int) -> dict[str, bytes]:
    """`auipc` and `addi` from `name` on."""
    return {name: rv.pair_to(register, AT[name], target)}


GAP = rv.NOP * 4
"""In place of a pair."""


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Made(data=DATA.replace(BLOCK, bytes(len(BLOCK)), 1)), "arrays of directories is not as the source says"),
        (Made(data=DATA + BLOCK), "arrays of directories is not as the source says"),
        (Made(data=DATA.replace(LENGTHS, bytes(32))), "lengths was found 0 times"),
        (Made(data=DATA + LENGTHS), "lengths was found 2 times"),
        (Made({"trusted: first": GAP}), "references to its directories"),
        (Made({"opened: first": GAP}), "references to its directories"),
        (Made(form("trusted: spare", A3, TEXTS)), "references to its directories"),
        (Made(form("trusted: spare", A3, TEXTS + 5)), "other references to its directories"),
        (Made(form("trusted: spare", A3, TEXTS + len(BLOCK) - 1)), "other references to its directories"),
        (Made({"paths: second": GAP}), "reference to its second directory was found 0 times"),
        (Made(form("paths: spare, later", A3, TEXTS + FIRST + 1)), "reference to its second directory was found 2"),
        (
            Made({"trusted: first": GAP} | form("paths", A5, TEXTS)),
            "table of directories was found 2 times",
        ),
        (Made(together=False), "place of its directories is not as the source says"),
        (Made({"first length": rv.NOP}), "first length was found 0 times"),
        (Made({"first length": rv.number(A5, FIRST + 1)}), "first length was found 0 times"),
        (Made({"first length": rv.NOP + rv.number(A5, FIRST)}), "first length was found 0 times"),
        (Made({"first length stored": rv.store(A5, S10, 40)}), "first length's place was found 0 times"),
        (Made({"first length stored": rv.store(A5, S10, 0)}), "first length's place was found 0 times"),
        (Made({"first length stored": rv.store(A4, S10, 32)}), "first length's place was found 0 times"),
        (Made({"first length: spare": rv.store(A5, S10, 32)}), "first length's place was found 2 times"),
        (Made({"first length: spare": rv.number(A5, 5)}), "first length's place was found 0 times"),
        (Made({"first length: spare": rv.call(-0x124)}), "first length's place was found 0 times"),
        (Made({"first length: spare": rv.add(A5, S1, 5)}), "first length's place was found 0 times"),
        (Made({"longest": rv.NOP}), "longest length was found 0 times"),
        (Made({"longest": rv.number(A5, LONGEST + 1)}), "longest length was found 0 times"),
        (Made({"longest": rv.number(A4, LONGEST)}), "longest length was found 0 times"),
        (Made({"longest stored": GAP}), "longest length was found 0 times"),
        (Made({"longest stored": rv.add(A4, S1, 0)}), "longest length was found 0 times"),
        (
            Made({"longest stored": rv.auipc(A3, LONGEST_AT - AT["longest stored"])}),
            "longest length was found 0 times",
        ),
        (
            Made({"longest": rv.number(A4, LONGEST), "longest stored": rv.store_at(A4, A4, AT["longest"], LONGEST_AT)}),
            "longest length was found 0 times",
        ),
        (Made({"longest: spare": rv.number(A5, 5)}), "longest length was found 0 times"),
        (Made({"longest: spare": rv.call(-0x124)}), "longest length was found 0 times"),
        (Made({"longest: spare": rv.unless_equal(A4, A3, 0x20)}), "longest length was found 0 times"),
        (Made(longest_at=VARIABLES), "longest length was found 0 times"),
        (Made(longest_at=VARIABLES + VARIABLES_SIZE), "longest length was found 0 times"),
        (
            Made({"longest: spare": rv.number(S11, LONGEST) + rv.store_at(S11, A4, AT["longest: spare"] + 2, 0x8050)}),
            "longest length was found 2 times",
        ),
        (Made({"told": GAP}), "diagnostics was found 0 times"),
        (Made(form("diagnostics: spare", A5, TEXTS + DATA.rindex(BLOCK))), "diagnostics was found 2 times"),
        (Made(told_from=FIRST + 1), "diagnostics is not as the source says"),
        (Made({"trusted: spare": rv.load(A2, S3, 8)}), "the loader's code is too far from the new directories, or not"),
        (Made({"trusted: spare": rv.add(A2, S3, 8)}), "the loader's code is too far from the new directories, or not"),
        (Made({"trusted: spare": rv.number(A2, FIRST)}), "the loader's code is too far from the new directories, or"),
        (Made({"paths: spare, later": rv.load(A2, S8, 8)}), "the loader's code is too far from the new directories"),
        (
            Made(texts_at=0x200000, variables_at=0x300000, longest_at=0x300040),
            "the code is too far from what is added to it",
        ),
        (Made(data=DATA.ljust(0x1000 - 300, b"x")), "has no room"),
        (Made(data=DATA.replace(CACHE, b"/etc/ld.so.other")), "ld.so.cache was found 0 times"),
        (Made(data=DATA + CACHE + b"\0"), "ld.so.cache was found 2 times"),
        (Made(data=DATA.replace(PRELOAD, PRELOAD + b"s")), "ld.so.preload was found 0 times"),
        (Made(data=DATA + PRELOAD + b"\0"), "ld.so.preload was found 2 times"),
    ],
)
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
        ("paths: second", 14, "table of directories was found 0 times"),
        ("first length stored", 6, "first length's place was found 0 times"),
        ("longest", 46, "longest length was found 0 times"),
        ("longest stored", 5, "longest length was found 0 times"),
    ],
)
def test_what_belongs_together_is_looked_for_within_twice_what_is_seen(name: str, most: int, told: str) -> None:
    made = Made(filled={name: most})
    image = made.image()
    moved(image)
    assert_speaks_of(made, image, [f"{path}/".encode() for path in NEW])
    with pytest.raises(FormatError, match=told):
        moved(Made(filled={name: most + 1}).image())


@pytest.mark.parametrize("length", [ROOM, ROOM + 1])
def test_no_directory_is_longer_than_the_room_that_is_made_for_it(length: int) -> None:
    image = PLAIN.image()
    new = [b"/first/", b"/" * length, b"/third/", b"/fourth/"]
    places = (TEXTS + DATA.index(BLOCK), TEXTS + DATA.index(LENGTHS), TEXTS + DATA.rindex(BLOCK))
    address = image.place(block_of(new))
    if length > ROOM:
        with pytest.raises(FormatError, match="longest directory is not as the source says"):
            move_directories(image, Arrays(*places, OLD), address, new)
    else:
        move_directories(image, Arrays(*places, OLD), address, new)
        assert rv.run(image, AT["paths"], {S10: TABLE}).stored[LONGEST_AT] == length


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
