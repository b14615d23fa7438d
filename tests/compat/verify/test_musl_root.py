"""A root like Alpine Linux's: what it holds, and which machines cannot make one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import family_named, this_family
from outcrop.compat.layout import LayerLayout
from outcrop.compat.sealed_root import sealed_root
from outcrop.compat.verify.isolation import Roots
from outcrop.compat.verify.musl_root import make_musl_root
from outcrop.cvmfs.names import repository_name
from outcrop.errors import MissingCapability

FAMILY = this_family()
OTHER = family_named("riscv64" if FAMILY.name != "riscv64" else "aarch64")
ACCOUNTS = {"etc/passwd": "root:x:0:0:root:/root:/bin/ash\n"}


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    for path, package in ((f"/lib/ld-musl-{FAMILY.name}.so.1", "musl"), ("/bin/busybox", "busybox-static")):
        if not Path(path).exists():
            pytest.skip(f"{package} is not installed")
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    layout = LayerLayout(repository_name("software.example.org"), "2026.06", FAMILY)
    (tmp_path / "layer").mkdir()
    (tmp_path / "made").mkdir()
    return Roots(sealed_root(layout, tmp_path / "layer"), tmp_path / "made", ())


@pytest.mark.integration
def test_its_own_shell_and_tools_run_beside_musl(roots: Roots) -> None:
    root = roots.with_musl()
    script = (
        "cat /etc/alpine-release; readlink /usr/bin/awk; awk 'BEGIN {print 6 * 7}'; grep -c tester /etc/passwd; ls /"
    )
    ended = root.require(["/bin/sh", "-c", script])
    assert ended.stdout.split() == [
        "3.20.0", "/bin/busybox", "42", "1",
        "bin", "cvmfs", "dev", "etc", "lib", "proc", "sbin", "tmp", "usr",
    ]  # fmt: skip
    said = root.run([f"/lib/libc.musl-{FAMILY.name}.so.1"]).stderr
    assert said.startswith(f"musl libc ({FAMILY.name})")


@pytest.mark.integration
def test_the_layers_programs_come_first(roots: Roots) -> None:
    path = roots.with_musl().environment()["PATH"].split(":")
    prefix = roots.root.layout.prefix
    assert path[:2] == [f"{prefix}/usr/bin", f"{prefix}/usr/sbin"]
    assert path[-1] == "/bin"
    assert PurePosixPath("/bin") in roots.with_musl().binds


def test_a_machine_without_musl_or_busybox_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match=f"musl for {OTHER.name} is not installed"):
        make_musl_root(tmp_path / "root", OTHER, ACCOUNTS, libraries=tmp_path)
    (tmp_path / f"ld-musl-{FAMILY.name}.so.1").touch()
    with pytest.raises(MissingCapability, match="BusyBox is not installed"):
        make_musl_root(tmp_path / "root", FAMILY, ACCOUNTS, libraries=tmp_path, find_program=lambda _: None)
    assert not (tmp_path / "root").exists()


def test_a_busybox_of_another_kind_is_not_used(tmp_path: Path) -> None:
    for family in (FAMILY, OTHER):
        (tmp_path / f"ld-musl-{family.name}.so.1").touch()
    shell = os.path.realpath("/bin/sh")
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\n")
    for family, program, said in (
        (FAMILY, shell, "is not linked statically"),
        (OTHER, shell, f"is not for {OTHER.name}"),
        (FAMILY, str(script), "is no program of Linux"),
    ):
        with pytest.raises(MissingCapability, match=said):
            make_musl_root(
                tmp_path / "root", family, ACCOUNTS, libraries=tmp_path, find_program={"busybox": program}.get
            )
