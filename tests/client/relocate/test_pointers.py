"""Strings that are the end of another one, found by what points to them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from outcrop.client.relocate.changes import PlaceKind, Reason
from outcrop.client.relocate.elf import read_elf
from outcrop.client.relocate.examine import examine
from outcrop.client.relocate.pointers import Pointers
from outcrop.client.relocate.prefix import prefix
from tests.client.relocate.elf_files import ADDRESS, ElfPlan

OLD = prefix("/cvmfs/repo.example")
TAIL = len("/cvmfs/")
TEXT = bytes(64) + OLD.path + b"\0" + bytes(64)


def built(code: bytes, machine: int = 62, *, fixed: bool = False) -> tuple[bytes, int]:
    """A file with TEXT and `code` behind it, and where the code begins."""
    plan = ElfPlan(data=TEXT + code, machine=machine, executable=True, fixed=fixed)
    data = plan.build()
    return data, data.index(TEXT) + len(TEXT)


def points_into(code: bytes, machine: int = 62, *, fixed: bool = False) -> bool:
    data, _ = built(code, machine, fixed=fixed)
    return Pointers(data, read_elf(data)).any_into(data.index(OLD.path), len(OLD))


def displacement(code_length: int, into: int) -> int:
    """From the end of `code_length` bytes of code to the byte `into` of the prefix."""
    data, start = built(b"")
    return data.index(OLD.path) + into - start - code_length


@pytest.mark.parametrize(("into", "expected"), [(0, False), (TAIL, True), (len(OLD) - 1, True), (len(OLD), False)])
def test_x86_lea_is_followed(into: int, expected: bool) -> None:
    assert points_into(b"\x48\x8d\x3d" + struct.pack("<i", displacement(7, into)), 62) is expected


def test_x86_constants_count_where_addresses_are_fixed() -> None:
    data, _ = built(b"")
    code = b"\xbf" + struct.pack("<I", ADDRESS + data.index(OLD.path) + TAIL)
    assert points_into(code, fixed=True)
    assert not points_into(code)


@pytest.mark.parametrize("between", [0, 3])
def test_aarch64_adrp_and_add_are_followed(between: int) -> None:
    data, start = built(b"")
    target, here = ADDRESS + data.index(OLD.path) + TAIL, ADDRESS + start
    page = ((target >> 12) - (here >> 12)) & 0x1FFFFF
    adrp = 0x90000000 | (page & 3) << 29 | (page >> 2) << 5 | 7
    add = 0x91000000 | (target & 0xFFF) << 10 | 7 << 5 | 7
    code = struct.pack("<I", adrp) + struct.pack("<I", 0xD503201F) * between + struct.pack("<I", add)
    # The segment begins with the file, so instructions stand on even addresses there.
    padding = bytes(-start % 4)
    plan = ElfPlan(data=TEXT + padding + code, machine=183, executable=True)
    elf = plan.build()
    assert Pointers(elf, read_elf(elf)).any_into(elf.index(OLD.path), len(OLD))


def test_pointers_in_data_are_followed() -> None:
    data, start = built(b"")
    word = struct.pack("<q", ADDRESS + data.index(OLD.path) + TAIL)
    assert points_into(bytes(-start % 8) + word)


def test_a_shared_end_stays_and_is_reported() -> None:
    data, _ = built(b"\x48\x8d\x3d" + struct.pack("<i", displacement(7, TAIL)))
    examined = examine(b"bin/x", data, OLD)
    assert examined.change is None
    assert [finding.reason for finding in examined.findings] == [Reason.SHARED]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("options", [("-fPIE", "-pie"), ("-no-pie",), ("-shared", "-fPIC")])
def test_what_gcc_and_ld_share_is_seen(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = """
        #include <stdio.h>
        int main(void) { puts("/cvmfs/repo.example"); puts(SECOND); return 0; }
        """
    examined = []
    for second in ('"repo.example"', '"something else"'):
        output = tmp_path / "program"
        command = ["gcc", "-O2", f"-DSECOND={second}", "-Wl,-O2", *options, "-x", "c", "-", "-o", str(output)]
        subprocess.run(command, input=source.encode(), check=True)
        examined.append(examine(b"bin/x", output.read_bytes(), OLD))
    shared, alone = examined
    assert shared.change is None
    assert [finding.reason for finding in shared.findings] == [Reason.SHARED]
    assert alone.change is not None
    assert [place.kind for place in alone.change.places] == [PlaceKind.DATA]
