"""What a layer has in it of the machine that built it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from outcrop.compat.verify.contents import BuildMachine, build_machine_paths

MACHINE = BuildMachine(("/outcrop-compat-", "/data/trees"), ("/users/al", "login-7"), re.compile("made"))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("usr", "in /tmp/outcrop-compat-0-x", ["/outcrop-compat-"]),
        ("usr", "\0/data/trees/versions\0", ["/data/trees"]),
        ("usr", "/data/trees2", []),
        ("usr", "/users/al and login-7, as a package may have them", []),
        ("made", "/users/al/x", ["/users/al"]),
        ("made", "/users/alice", []),
        ("made", "on login-7.", ["login-7"]),
        ("made", "on prelogin-7, login-75 and my-login-7", []),
    ],
)
def test_what_is_of_it_is_found(tmp_path: Path, name: str, text: str, found: list[str]) -> None:
    (tmp_path / name).write_text(text)
    looked = build_machine_paths(tmp_path, MACHINE)
    assert looked.number == 1
    assert [one.problem for one in looked.findings] == [f"has {one} in it" for one in found]


def test_where_everything_was_made_there_all_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "usr").write_text("/users/al")
    machine = BuildMachine(MACHINE.places, MACHINE.names)
    assert [one.subject for one in build_machine_paths(tmp_path, machine).findings] == ["usr"]


def test_directories_of_those_who_built_a_package_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"-ffile-prefix-map=/build/{name}-vzdNMW/a=.")
    (tmp_path / "c").write_text("src/build/tools")
    looked = build_machine_paths(tmp_path, MACHINE)
    assert not looked.findings
    assert [one.subject for one in looked.skipped] == ["a and 1 more"]


def test_nothing_is_found_of_no_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    assert build_machine_paths(tmp_path, BuildMachine()).findings == ()
