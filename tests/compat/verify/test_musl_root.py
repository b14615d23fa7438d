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
from outcrop.compat.verify.musl_root import has_musl, make_musl_root
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


@pytest.mark.integration
def test_another_system_is_there_with_our_accounts_and_without_its_repositories(roots: Roots, tmp_path: Path) -> None:
    system = tmp_path / "some system"
    for path in ("usr/bin", "etc/sub", "cvmfs/software.example.org", "dev", "tmp/old", "opt"):
        (system / path).mkdir(parents=True)
    shutil.copy("/bin/busybox", system / "usr" / "bin")
    for name in ("sh", "cat", "ls", "grep", "readlink"):
        (system / "usr" / "bin" / name).symlink_to("/usr/bin/busybox")
    (system / "bin").symlink_to("/usr/bin")
    (system / "etc" / "os-release").symlink_to("../opt/release")
    (system / "opt" / "release").write_text("NAME=Other\n")
    (system / "etc" / "passwd").write_text("nobody else\n")
    (system / "etc" / "sub" / "file").write_text("deep\n")
    script = "cat /etc/os-release /etc/sub/file; grep -c . /etc/passwd; readlink /bin; ls / /cvmfs /tmp"
    ended = roots.beside(system).require(["/bin/sh", "-c", script])
    assert ended.stdout.split() == [
        "NAME=Other", "deep", str(len({0, 4711, os.getuid()})), "/usr/bin",
        "/:", "bin", "cvmfs", "dev", "etc", "opt", "proc", "tmp", "usr",
        "/cvmfs:", "software.example.org", "/tmp:",
    ]  # fmt: skip
    searched = roots.beside(system).environment()["PATH"].split(":")
    assert (searched[0], searched[-1]) == (f"{roots.root.layout.prefix}/usr/bin", "/bin")


def test_a_system_has_musl_for_its_own_family(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / f"lib/ld-musl-{OTHER.name}.so.1").touch()
    assert has_musl(tmp_path, OTHER)
    assert not has_musl(tmp_path, FAMILY)


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
