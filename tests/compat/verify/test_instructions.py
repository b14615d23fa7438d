"""The check that no program needs more than its family's oldest processor has."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from outcrop.compat.family import Family, family_named
from outcrop.compat.relocate.elf_image import PF_R, PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS
from outcrop.compat.verify.choices import Choice, choices_for, parse_choices
from outcrop.compat.verify.instructions import code_of, instructions, look
from outcrop.compat.verify.report import Checked
from outcrop.errors import FormatError
from tests.compat.relocate.small_elf import CODE, elf

AARCH64 = family_named("aarch64")
RET = struct.pack("<I", 0xD65F03C0)
ATOMIC = struct.pack("<I", 0xB8E00041)
VECTORS = struct.pack("<I", 0x04E0E3E0)
ASKS = struct.pack("<I", 0xD5380600)

ONE = """
[[chooses]]
paths = ["lib/lib*.so.1"]
how = "init() asks"
aarch64 = ["lse"]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    return tmp_path


def with_sections(data: bytes, *sections: tuple[int, int, int], entry: int = 0) -> bytes:
    """`data` with sections of code: address, place in the file, size."""
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, *section, 0, 0, 4, 0)
        for section in sections
    )
    made = bytearray(data + table)
    struct.pack_into("<QQ", made, 24, entry, 0x40)
    struct.pack_into("<Q", made, 40, len(data))
    struct.pack_into("<HHH", made, 58, 64, len(sections), 0)
    return bytes(made)


def put(tree: Path, name: str, code: bytes, family: Family = AARCH64) -> None:
    data = elf(family.machine, code, b"text\0")
    (tree / name).write_bytes(with_sections(data, (CODE, CODE, len(code)), entry=CODE))


def looked_at(tree: Path, choices: str = "", family: Family = AARCH64) -> Checked:
    return instructions(tree, family, tuple(parse_choices(choices, family, "choices")), 1)


def test_a_baseline_program_passes(tree: Path) -> None:
    put(tree, "lib/libfine.so.1", RET)
    (tree / "lib/other").write_bytes(b"no program")
    assert looked_at(tree) == Checked(1)


def test_a_newer_instruction_is_told_with_its_place(tree: Path) -> None:
    put(tree, "lib/libnew.so.1", RET + ATOMIC + ATOMIC)
    (finding,) = looked_at(tree).findings
    assert finding.subject == "lib/libnew.so.1"
    assert f"lse (2 times, first `0xb8e00041` at {CODE + 4:#x})" in finding.problem


def test_x86_64_is_looked_at_too(tree: Path) -> None:
    pytest.importorskip("iced_x86")
    family = family_named("x86_64")
    put(tree, "lib/libnew.so.1", bytes.fromhex("c5f9efc0c3"), family)
    (finding,) = looked_at(tree, family=family).findings
    assert f"avx (1 times, first `vpxor xmm0,xmm0,xmm0` at {CODE:#x})" in finding.problem


def test_another_familys_program_is_not_looked_at(tree: Path) -> None:
    put(tree, "lib/libother.so.1", ATOMIC, family_named("riscv64"))
    assert looked_at(tree) == Checked(0)


def test_one_that_is_known_to_choose_passes_if_it_asks(tree: Path) -> None:
    put(tree, "lib/libone.so.1", ATOMIC + ASKS)
    assert looked_at(tree, ONE) == Checked(1)
    put(tree, "lib/libone.so.1", ATOMIC)
    (finding,) = looked_at(tree, ONE).findings
    assert finding.problem == "has lse, and nothing that asks the processor"
    assert looked_at(tree, ONE + "asks = false") == Checked(1)


def test_one_that_is_known_to_choose_has_no_other_extension(tree: Path) -> None:
    put(tree, "lib/libone.so.1", ATOMIC + VECTORS + ASKS)
    (finding,) = looked_at(tree, ONE).findings
    assert "sve (1 times" in finding.problem
    assert "lse" not in finding.problem
    assert looked_at(tree, ONE.replace('"lse"', '"*"')) == Checked(1)


def test_what_holds_for_one_file_holds_for_no_other(tree: Path) -> None:
    put(tree, "other", ATOMIC + ASKS)
    assert [one.subject for one in looked_at(tree, ONE).findings] == ["other"]


def test_what_runs_only_beside_a_device_is_said_each_time(tree: Path) -> None:
    put(tree, "lib/libone.so.1", ATOMIC + ASKS)
    found = looked_at(tree, ONE.replace("chooses", "hardware"))
    assert not found.findings
    assert [one.problem for one in found.skipped] == ["needs lse: init() asks"]


def test_hard_links_are_looked_at_once(tree: Path) -> None:
    put(tree, "lib/libfine.so.1", RET)
    (tree / "lib/libfine.so").hardlink_to(tree / "lib/libfine.so.1")
    assert looked_at(tree).number == 1


@pytest.mark.parametrize("size", [20, 63, 64, 0x400, CODE, CODE + 2])
def test_a_truncated_file_is_a_finding_or_harmless(tree: Path, size: int) -> None:
    (tree / "lib/libcut.so.1").write_bytes(elf(AARCH64.machine, ATOMIC, b"text\0")[:size])
    (finding,) = looked_at(tree).findings
    assert finding.problem.startswith("cannot be looked at: ")


def test_sections_tell_code_from_what_else_is_in_its_segment() -> None:
    data = elf(AARCH64.machine, RET, b"text\0")
    assert code_of(with_sections(data, (CODE, CODE, 4))) == [(CODE, RET)]


@pytest.mark.parametrize(
    ("sections", "entry"),
    [
        ([], 0),
        ([(CODE, CODE, 1 << 40)], 0),
        ([(CODE, 0, 4)], 0),
        ([(1 << 63, CODE, 4)], 0),
        ([(0, 0, 0x1000)] * 9, 0),
        ([(0, 0, 4)], CODE),
    ],
)
def test_sections_that_do_not_fit_hide_nothing(sections: list[tuple[int, int, int]], entry: int) -> None:
    data = elf(AARCH64.machine, ATOMIC, b"text\0")
    ((address, code),) = code_of(with_sections(data, *sections, entry=entry))
    assert address == 0
    assert ATOMIC in code


def test_many_segments_of_the_same_bytes_are_refused() -> None:
    data = bytearray(elf(AARCH64.machine, RET, b"text\0").ljust(0x10000, b"\0"))
    for number in range(300):
        struct.pack_into("<IIQQQQQQ", data, 64 + 56 * number, PT_LOAD, PF_R | PF_X, 0, 0, 0, 0xF000, 0xF000, 4)
    struct.pack_into("<H", data, 56, 300)
    with pytest.raises(FormatError, match="overlap"):
        code_of(bytes(data))


def test_a_file_says_what_it_asks_by(tree: Path) -> None:
    (tree / "lib/liba.so").write_bytes(elf(AARCH64.machine, ATOMIC, b"getauxval\0"))
    assert look(tree, AARCH64, "lib/liba.so").asks


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[chooses]]\npaths = ["a"]\nhow = " "\naarch64 = ["lse"]', "how"),
        ('[[chooses]]\npaths = ["a"]\nhow = "b"\narm = ["lse"]', "arm"),
        ('[[chooses]]\nhow = "b"', "paths"),
        ("[[chooses", "choices"),
    ],
)
def test_what_is_wrong_in_a_list_is_told(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        tuple(parse_choices(text, AARCH64, "choices"))


@pytest.mark.parametrize("name", ["x86_64", "aarch64", "riscv64"])
def test_the_list_that_comes_with_outcrop_is_tight(name: str) -> None:
    for choice in choices_for(family_named(name)):
        assert isinstance(choice, Choice)
        assert not choice.pattern.fullmatch("usr/bin/bash")
        assert not choice.pattern.fullmatch("usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0")
        assert choice.how.strip()


def test_a_stack_adds_to_the_list() -> None:
    added = choices_for(AARCH64, ONE)
    assert added[:-1] == choices_for(AARCH64)
    assert added[-1].how == "init() asks"
