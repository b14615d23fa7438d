"""The command lines by which this machine's own programs run on an old processor, and what stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.family import FAMILIES, family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.sealed_root import SealedRoot, entered
from outcrop.compat.verify.oldest import EmulatedRoot, emulated
from outcrop.cvmfs.names import repository_name

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
PREFIX = str(LAYOUT.prefix)
KERNEL = "this kernel does not let QEMU run its own family's programs"
NO_QEMU = "the program `qemu-x86_64-static` is not installed"
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"rest"


@pytest.fixture
def root(tmp_path: Path) -> SealedRoot:
    (tmp_path / "tree/usr/bin").mkdir(parents=True)
    for name in ("bash", "timeout"):
        (tmp_path / "tree/usr/bin" / name).write_bytes(PROGRAM)
    (tmp_path / "bwrap").write_bytes(PROGRAM)
    return SealedRoot(LAYOUT, tmp_path / "tree", str(tmp_path / "bwrap"))


def test_the_list_is_filled_by_this_machine_s_shell_and_the_root_needs_none() -> None:
    made = EmulatedRoot(LAYOUT, Path("/layer"), "/made/bwrap", qemu=Path("/made/qemu"))
    line = made.command_line([f"{PREFIX}/usr/bin/true"])
    assert line[:2] == ["nice", "unshare"]
    rule, bubblewrap = line.index("/made/bwrap") - 1, line.index("/made/bwrap")
    assert (line[rule][:15], line[rule].rpartition(":/")[2]) == (":qemu-x86_64:M:", "made/qemu:F")
    assert f"{PREFIX}/usr/bin/sh" not in line[bubblewrap:]
    assert line[-2:] == ["--", f"{PREFIX}/usr/bin/true"]


def test_the_rule_is_for_programs_whose_header_ends_with_zeros() -> None:
    *_, magic, mask, _, _ = entered(LAYOUT.family, Path("/qemu"))[-1].split(":")
    fields = zip(magic.encode().decode("unicode_escape")[15:16], mask.split("\\x")[1:][15:16], strict=True)
    assert list(fields) == [("\0", "ff")]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_qemu_plays_the_familys_oldest_processor(family: object) -> None:
    for one in FAMILIES:
        if one is family:
            layout = LayerLayout(LAYOUT.repository, "2026.06", one)
            assert SealedRoot(layout, Path("/l"), "bwrap", qemu=Path("/q")).environment()["QEMU_CPU"] == one.oldest
            assert "QEMU_CPU" not in SealedRoot(layout, Path("/l"), "bwrap").environment()


def test_a_machine_without_qemu_is_told(root: SealedRoot, tmp_path: Path) -> None:
    assert emulated(root, tmp_path / "made", lambda _: None) == NO_QEMU


def test_a_layer_without_a_driver_is_told(root: SealedRoot, tmp_path: Path) -> None:
    (root.tree / "usr/bin/timeout").unlink()
    assert emulated(root, tmp_path / "made", lambda _: "/bin/sh") == "the layer has no timeout"


def test_copies_are_marked_and_originals_are_not(root: SealedRoot, tmp_path: Path) -> None:
    found = emulated(root, tmp_path / "made", lambda _: "/bin/sh")
    assert found == KERNEL  # for the shell is no QEMU
    for name in ("bash", "timeout", "bwrap"):
        assert (tmp_path / "made" / name).read_bytes() == PROGRAM[:15] + b"\x01" + PROGRAM[16:]
    assert (root.tree / "usr/bin/bash").read_bytes() == PROGRAM


def test_what_stands_before_bubblewrap_and_is_no_program_stays_as_it_is(root: SealedRoot, tmp_path: Path) -> None:
    text = "#!/bin/sh\nexec bwrap.real\n"
    Path(root.bubblewrap).write_text(text)
    emulated(root, tmp_path / "made", lambda _: "/bin/sh")
    assert (tmp_path / "made/bwrap").read_text() == text


def test_a_layer_s_program_that_does_not_start_is_not_laid_on_the_kernel(root: SealedRoot, tmp_path: Path) -> None:
    Path(root.bubblewrap).write_text("#!/bin/sh\necho 'timeout: cannot start' >&2; exit 1\n")
    reason = emulated(root, tmp_path / "made")
    if reason in (NO_QEMU, KERNEL):
        pytest.skip(str(reason))
    assert reason == "it does not run the layer's programs: timeout: cannot start"
