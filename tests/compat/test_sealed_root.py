"""The command lines by which a layer's programs run in a root of its own."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import family_named, this_family
from outcrop.compat.layout import LayerLayout
from outcrop.compat.sealed_root import SealedRoot, entered, sealed_root
from outcrop.cvmfs.names import repository_name
from outcrop.errors import CommandFailed, MissingCapability

PREFIX = "/cvmfs/software.example.org/versions/2026.06/compat/linux/aarch64"
LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("aarch64"))
ROOT = SealedRoot(LAYOUT, Path("/layer"), "bwrap")
QEMU = Path("/usr/bin/qemu-aarch64-static")


def test_the_layer_is_at_its_prefix_and_nothing_else_is_there() -> None:
    line = ROOT.command_line([f"{PREFIX}/usr/bin/true"])
    assert line[0] == "bwrap"
    assert line[-2:] == ["--", f"{PREFIX}/usr/bin/true"]
    binds = [line[place + 1 : place + 3] for place, word in enumerate(line) if word in ("--bind", "--ro-bind")]
    assert binds == [["/layer", PREFIX]]
    assert "--unshare-net" in line
    assert line[line.index("--clearenv") :].count("--setenv") == len(ROOT.environment())


def test_it_is_written_only_where_that_is_wanted() -> None:
    assert "--bind" not in ROOT.command_line(["x"])
    assert "--bind" in replace(ROOT, writable=True).command_line(["x"])


def test_further_files_and_variables_are_there_too() -> None:
    root = replace(ROOT, binds={PurePosixPath("/etc/passwd"): Path("/made/passwd")}, extra_environment={"LANG": "odd"})
    line = root.command_line(["x"])
    assert line[line.index("/made/passwd") - 1 :][:3] == ["--ro-bind", "/made/passwd", "/etc/passwd"]
    assert root.environment()["LANG"] == "odd"


def test_what_the_repository_has_beside_its_versions_is_there_too(tmp_path: Path) -> None:
    (tmp_path / "defaults").mkdir()
    (tmp_path / "host_injections").symlink_to("/opt/eessi")
    line = replace(ROOT, shared=tmp_path).command_line(["x"])
    place = "/cvmfs/software.example.org"
    assert line[line.index(f"{place}/defaults") - 2 :][:2] == ["--ro-bind", str(tmp_path / "defaults")]
    assert line[line.index(f"{place}/host_injections") - 2 :][:2] == ["--symlink", "/opt/eessi"]


def test_a_foreign_program_runs_below_qemu_alone_where_the_kernel_can_do_no_more() -> None:
    line = replace(ROOT, qemu=QEMU, children_too=False).command_line([f"{PREFIX}/usr/bin/true"])
    assert line[-3:] == ["--", "/qemu", f"{PREFIX}/usr/bin/true"]
    assert str(QEMU) in line


def test_a_foreign_program_and_its_children_run_below_qemu_where_it_can() -> None:
    line = replace(ROOT, qemu=QEMU).command_line([f"{PREFIX}/usr/bin/true"])
    assert line[0] == "unshare"
    assert line[-2:] == ["--", f"{PREFIX}/usr/bin/true"]


@pytest.mark.parametrize("name", ["aarch64", "riscv64"])
def test_qemu_is_entered_for_programs_of_its_family(name: str) -> None:
    _, label, kind, offset, magic, mask, program, flags = entered(family_named(name), QEMU)[-1].split(":")
    assert (label, kind, offset, program, flags) == (f"qemu-{name}", "M", "", str(QEMU), "F")
    first, counts = (bytes.fromhex(text.replace("\\x", " ").replace("ELF", " 45 4c 46")) for text in (magic, mask))
    assert len(first) == len(counts) == 20
    for file_type, system in ((2, 0), (3, 0), (3, 3)):
        ident = b"\x7fELF\x02\x01\x01" + bytes([system]) + bytes(8)
        header = ident + struct.pack("<HH", file_type, family_named(name).machine)
        assert all(byte & use == wanted & use for byte, wanted, use in zip(header, first, counts, strict=True))
    other = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 62)
    assert any(byte & use != wanted & use for byte, wanted, use in zip(other, first, counts, strict=True))


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="bubblewrap"):
        sealed_root(LAYOUT, tmp_path, find_program=lambda _: None)
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    foreign = LAYOUT if this_family().name != "aarch64" else replace(LAYOUT, family=family_named("riscv64"))
    with pytest.raises(MissingCapability, match=f"{foreign.family.qemu}-static"):
        sealed_root(foreign, tmp_path, find_program=lambda name: shutil.which(name) if name == "bwrap" else None)


def test_a_program_that_fails_is_told_by_its_last_words(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    root = sealed_root(replace(LAYOUT, family=this_family()), tmp_path)
    with pytest.raises(CommandFailed, match="the layer's `none` failed: bwrap: execvp /none"):
        root.require(["/none"])
