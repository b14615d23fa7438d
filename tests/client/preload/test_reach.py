"""Which programs the libraries reach."""

from __future__ import annotations

import os
import struct
from pathlib import Path, PurePosixPath

import pytest

from outcrop.client.preload.reach import why_not_reached
from outcrop.client.preload.views import View

LOADER = "/lib64/ld-linux-x86-64.so.2"
X86_64, AARCH64 = 62, 183
PREFIX = PurePosixPath("/cvmfs/tools.example.org")


def elf(interpreter: str = LOADER, machine: int = X86_64) -> bytes:
    """A program with nothing in it but the name of its loader."""
    text = interpreter.encode() + b"\0"
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1 if interpreter else 0, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(text), len(text), 1)
    return header + segment + text


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A program of the processor that is meant."""
    return program(tmp_path / "own", elf())


def program(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def told(path: Path, own: Path, views: tuple[View, ...] = ()) -> str:
    return why_not_reached(str(path), {}, views, own)


def test_a_program_with_the_usual_loader_is_reached(own: Path, tmp_path: Path) -> None:
    assert told(program(tmp_path / "x", elf()), own) == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (elf(""), "is linked statically"),
        (elf(machine=AARCH64), "is for another processor"),
        (b"\x7fELF\x01" + elf()[5:], "is for another processor, or for another word size"),
        (elf("/lib/ld-musl-x86_64.so.1"), "is linked with musl"),
    ],
    ids=["static", "other processor", "32 bits", "musl"],
)
def test_what_is_not_reached_is_told_with_the_reason(content: bytes, reason: str, own: Path, tmp_path: Path) -> None:
    path = program(tmp_path / "x", content)
    assert told(path, own).startswith(f"{path} {reason}")


def test_a_script_is_as_its_interpreter_is(own: Path, tmp_path: Path) -> None:
    static, dynamic = program(tmp_path / "static", elf("")), program(tmp_path / "dynamic", elf())
    assert told(program(tmp_path / "a", f"#!{dynamic} -x\n".encode()), own) == ""
    assert told(program(tmp_path / "b", f"#!{static}\n".encode()), own) == f"{static} is linked statically"
    assert "statically" in told(program(tmp_path / "c", f"#!{tmp_path / 'b'}\n".encode()), own)


def test_a_program_below_the_prefix_is_looked_at_in_its_copy(own: Path, tmp_path: Path) -> None:
    views = (View(PREFIX, tmp_path / "copy"),)
    program(tmp_path / "copy" / "bin" / "x", elf(""))
    program(tmp_path / "copy" / "bin" / "y", f"#!{PREFIX}/bin/x\n".encode())
    assert why_not_reached("y", {"PATH": f"/nowhere:{PREFIX}/bin"}, views, own).endswith("is linked statically")
    assert why_not_reached("y", {"PATH": f"/nowhere:{PREFIX}/bin"}, (), own) == ""


def test_a_link_may_lead_below_the_prefix(own: Path, tmp_path: Path) -> None:
    program(tmp_path / "copy" / "bin" / "x", elf(""))
    (tmp_path / "link").symlink_to(PREFIX / "bin" / "x")
    (tmp_path / "circle").symlink_to("circle")
    assert told(tmp_path / "link", own, (View(PREFIX, tmp_path / "copy"),)).endswith("is linked statically")
    assert told(tmp_path / "circle", own) == ""


def test_what_does_not_exist_is_left_to_whoever_runs_it(own: Path, tmp_path: Path) -> None:
    assert told(tmp_path / "nothing", own) == ""
    assert why_not_reached("nothing", {"PATH": str(tmp_path)}, (), own) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_program_that_gets_rights_from_its_file_is_not_reached(own: Path, tmp_path: Path) -> None:
    path = program(tmp_path / "x", elf())
    os.chown(path, 65_534, 65_534)
    path.chmod(0o4755)
    assert "setuid" in told(path, own)
    path.chmod(0o2755)
    assert "setuid" in told(path, own)
    path.chmod(0o755)
    assert told(path, own) == ""
