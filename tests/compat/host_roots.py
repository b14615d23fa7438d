"""Roots of hosts, in which what was built on a layer must run: each a directory, or this machine's own.

The RPM-based one is laid out as EL 9 is (`/usr/lib64`, links to it, `os-release`, a database of packages), and `rpm`
installs it, with dependencies and the loader's index. Its packages are made here, of this machine's own programs and
libraries: a test cannot count on reaching a mirror of such a distribution, so this root shows another layout and
nothing about another distribution's glibc. The musl root has another C library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import this_family
from outcrop.compat.verify.musl_root import make_musl_root
from outcrop.errors import MissingCapability

ACCOUNTS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}

_PROGRAMS = ("bash", "cat", "grep", "ls", "sed", "uname")
_GLIBC = re.compile(r"(ld-linux|libc\.|libm\.|libdl\.|libpthread\.|libresolv\.|librt\.).*")
_LOADED = re.compile(r"(/\S+) \(0x")
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_EL = """\
NAME="EL made here"
ID="el"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
"""

_SPEC = """\
%global debug_package %{nil}
%global __os_install_post %{nil}
Name: el-made-here
Version: 9.4
Release: 1.el9
Summary: A small system
License: GPL-2.0-or-later

%description
A small system.

%package -n filesystem
Summary: The directories
%description -n filesystem
The directories.

%package -n el-release
Summary: Whose system it is
Requires: filesystem
%description -n el-release
Whose system it is.

%package -n glibc
Summary: The C library
Requires: filesystem
Provides: /sbin/ldconfig rtld(GNU_HASH)
%description -n glibc
The C library.

%package -n system-libraries
Summary: What the programs need besides the C library
%description -n system-libraries
What the programs need besides the C library.

%package -n bash
Summary: The shell and a few tools
Provides: /bin/sh
%description -n bash
The shell and a few tools.

%install
cp -a %{staged}/. %{buildroot}

%post -n glibc -p /sbin/ldconfig
%post -n system-libraries -p /sbin/ldconfig

%files -n filesystem -f %{staged}.filesystem
%files -n el-release -f %{staged}.el-release
%files -n glibc -f %{staged}.glibc
%files -n system-libraries -f %{staged}.system-libraries
%files -n bash -f %{staged}.bash
"""


@dataclass(frozen=True, slots=True)
class HostRoot:
    """The root's entries by where they appear; `path` is what its users have as PATH."""

    binds: Mapping[PurePosixPath, Path]
    path: str


def musl_root(place: Path) -> HostRoot:
    """A root like Alpine Linux's, made in `place`; the test is skipped where musl or BusyBox is missing."""
    try:
        make_musl_root(place, this_family(), ACCOUNTS)
    except MissingCapability as error:
        pytest.skip(error.message)
    return HostRoot(_entries(place), "/usr/bin:/bin")


def debian_root() -> HostRoot:
    """This machine's own, where it is Debian."""
    if not Path("/etc/debian_version").exists():
        pytest.skip("this machine is not Debian")
    names = ("bin", "etc", "lib", "lib64", "sbin", "usr", "var")
    entries = {PurePosixPath("/", name): Path("/", name) for name in names if Path("/", name).is_dir()}
    return HostRoot(entries, "/usr/local/bin:/usr/bin:/bin")


def rpm_root(place: Path) -> HostRoot:
    """A root made by `rpm` in `place`; the test is skipped where it is missing."""
    if shutil.which("rpmbuild") is None:
        pytest.skip("rpmbuild is not installed")
    _stage(place / "staged")
    (place / "el.spec").write_text(_SPEC, encoding="utf-8")
    _run("rpmbuild", "-bb", "--quiet", *_defines(place), str(place / "el.spec"))
    packages = [str(path) for path in sorted((place / "RPMS").glob("*/*.rpm"))]
    root = place / "root"
    root.mkdir()
    # Only root may change its root directory; others do so where they are root.
    as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    _run(*as_root, "rpm", "--force-debian", *_database(root), "--install", *packages)
    return HostRoot(_entries(root), "/usr/local/bin:/usr/bin:/usr/sbin")


def installed(root: HostRoot) -> set[str]:
    """The packages in the database of a root that `rpm` made."""
    place = root.binds[PurePosixPath("/usr")].parent
    return set(_run("rpm", *_database(place), "--query", "--all", "--queryformat", "%{NAME}\\n").split())


def _database(root: Path) -> list[str]:
    # Debian's `rpm` has a database for each user by default.
    return ["--root", str(root), "--dbpath", "/var/lib/rpm"]


def _defines(place: Path) -> list[str]:
    macros = {"_topdir": place, "staged": place / "staged", "_tmppath": place, "_rpmdir": place / "RPMS"}
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


def _stage(staged: Path) -> None:
    """Puts the files of all packages into `staged`, and beside it a list of the files of each."""
    texts = ACCOUNTS | {"etc/ld.so.conf": "/usr/lib64\n", "etc/os-release": _EL, "etc/redhat-release": "EL made here\n"}
    owners = {"etc/ld.so.conf": "glibc", "usr/sbin/ldconfig": "glibc", "usr/bin/sh": "bash"}
    for directory in ("etc", "tmp", "root", "var/lib", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (staged / directory).mkdir(parents=True)
    for name, target in _LINKS.items():
        (staged / name).symlink_to(target)
    for path, text in texts.items():
        (staged / path).write_text(text, encoding="utf-8")
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program is not None, name
        shutil.copy(program, staged / "usr/bin" / name)
        owners[f"usr/bin/{name}"] = "bash"
        for library in map(Path, _LOADED.findall(_run("ldd", program))):
            shutil.copy(library, staged / "usr/lib64" / library.name)
            owner = "glibc" if _GLIBC.fullmatch(library.name) else "system-libraries"
            owners[f"usr/lib64/{library.name}"] = owner
    (staged / "usr/bin/sh").symlink_to("bash")
    shutil.copy("/sbin/ldconfig", staged / "usr/sbin/ldconfig")
    lists: dict[str, list[str]] = {"filesystem": [f"/{name}" for name in _LINKS], "el-release": []}
    lists["filesystem"] += ["%dir /usr/bin", "%dir /usr/sbin", "%dir /usr/lib", "%dir /usr/lib64", "/root", "/tmp"]
    lists["el-release"] += [f"/{path}" for path in texts if path not in owners]
    for path, owner in owners.items():
        lists.setdefault(owner, []).append(f"/{path}")
    for owner, lines in lists.items():
        staged.with_name(f"staged.{owner}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _entries(root: Path) -> dict[PurePosixPath, Path]:
    names = sorted(entry.name for entry in root.iterdir() if entry.name != "tmp")
    return {PurePosixPath("/", name): root / name for name in names}


def _run(*command: str) -> str:
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
