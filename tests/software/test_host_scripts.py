"""Scripts that the user's host would start are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.software.build_tree import BuildTree
from outcrop.software.changeset import change_set, units_in
from outcrop.software.host_scripts import HostScript, host_scripts, told
from outcrop.software.layout import SoftwareLayout
from outcrop.software.stack import Foreign, read_stack
from tests.compat.linked_elf import linked, write
from tests.software.installed import install
from tests.software.small_stack import GENERIC

HELLO = "hello/1.0-GCCcore-12.2.0"


@pytest.fixture
def layout(tmp_path: Path) -> SoftwareLayout:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    return read_stack(tmp_path / "stack").layout(GENERIC)


def found(
    tmp_path: Path, layout: SoftwareLayout, files: dict[str, bytes], *allowed: Foreign, mode: int = 0o755
) -> dict[str, str]:
    """The interpreters of scripts that are told of, by their paths in the installation that has `files`."""
    tree = BuildTree(tmp_path / "tree")
    install(tree, layout, HELLO)
    place = tree.root / layout.installation(HELLO)
    place.chmod(0o755)
    for path, data in files.items():
        write(place / path, data)
        (place / path).chmod(mode)
    changes = change_set(layout, tree.root, units_in(tree.root, layout), {})
    start = f"{layout.installation(HELLO)}/"
    return {one.path.removeprefix(start): one.interpreter for one in host_scripts(layout, changes, allowed)}


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        (b"#!/usr/bin/perl -w\n", "/usr/bin/perl"),
        (b"#! \t/bin/bash", "/bin/bash"),
        (b"#!/usr/local/bin/python3.11\r\n", "/usr/local/bin/python3.11"),
        (b"#!/cvmfs/other.example.org/bin/lua\n", "/cvmfs/other.example.org/bin/lua"),
        (b"#!/opt/\xff/x\n", "/opt/\udcff/x"),
    ],
)
def test_an_interpreter_out_of_the_repository_is_told_of(
    tmp_path: Path, layout: SoftwareLayout, line: bytes, interpreter: str
) -> None:
    assert found(tmp_path, layout, {"bin/script": line}) == {"bin/script": interpreter}


@pytest.mark.parametrize("line", [b"#!/bin/sh -e\n", b"#!/usr/bin/env perl\n", b"#!\n", b"#!perl\n", b"", b"# text\n"])
def test_what_every_host_has_and_what_is_no_script_is_not(tmp_path: Path, layout: SoftwareLayout, line: bytes) -> None:
    assert found(tmp_path, layout, {"bin/script": line}) == {}


def test_neither_are_those_of_the_repository_nor_programs(tmp_path: Path, layout: SoftwareLayout) -> None:
    own = f"#!{layout.mount_point}/versions/2026.06/compat/linux/x86_64/usr/bin/perl\n".encode()
    assert found(tmp_path, layout, {"bin/script": own, "bin/program": linked()}) == {}


def test_a_text_that_nobody_can_start_is_no_script(tmp_path: Path, layout: SoftwareLayout) -> None:
    assert found(tmp_path, layout, {"share/example": b"#!/usr/bin/perl\n"}, mode=0o644) == {}


def test_a_stack_says_which_may_be_so(tmp_path: Path, layout: SoftwareLayout) -> None:
    files = {"bin/one": b"#!/usr/bin/perl\n", "libexec/two": b"#!/usr/bin/perl\n"}
    allowed = Foreign((f"{HELLO}/bin/**",), "the vendor's")
    assert found(tmp_path, layout, files, allowed) == {"libexec/two": "/usr/bin/perl"}


def test_many_are_told_of_in_one_sentence() -> None:
    text = told([HostScript(f"bin/{number}", "/usr/bin/perl") for number in range(6)])
    assert text.startswith("scripts are started by programs of the user's host: bin/0 (/usr/bin/perl), bin/1 ")
    assert "bin/4" not in text
    assert "and 2 more; `fix_perl_shebang_for`" in text
