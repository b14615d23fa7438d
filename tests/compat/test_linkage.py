"""What a file says to the loader."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.linkage import Linkage, linkage_of, machine_of
from outcrop.errors import FormatError
from tests.compat.linked_elf import DT_RPATH, X86_64, linked, write


def test_a_program_names_its_loader_its_libraries_and_where_they_are(tmp_path: Path) -> None:
    data = linked(interpreter="/lib64/ld.so", needed=["libone.so.1", "libtwo.so"], run_path="$ORIGIN/../lib:/usr/lib")
    assert linkage_of(write(tmp_path / "program", data)) == Linkage(
        X86_64, "/lib64/ld.so", ("$ORIGIN/../lib", "/usr/lib"), ("libone.so.1", "libtwo.so"), ""
    )


def test_a_library_has_a_name_and_no_loader(tmp_path: Path) -> None:
    place = write(tmp_path / "library", linked(soname="libone.so.1", run_path="/usr/lib", tag=DT_RPATH))
    assert linkage_of(place) == Linkage(X86_64, "", ("/usr/lib",), (), "libone.so.1")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"#!/bin/sh\n", linked(dynamic=False), linked()[:16] + b"\x01\0" + linked()[18:]],
    ids=["empty", "cut", "script", "static", "object"],
)
def test_what_no_loader_takes_has_no_linkage(tmp_path: Path, data: bytes) -> None:
    assert linkage_of(write(tmp_path / "file", data)) is None


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        linkage_of(write(tmp_path / "file", linked()[:70]))


def test_the_machine_of_what_is_no_elf_file_is_none(tmp_path: Path) -> None:
    assert machine_of(write(tmp_path / "a", linked(machine=183))) == 183
    assert machine_of(write(tmp_path / "b", b"INPUT(libc.so.6)")) == 0
