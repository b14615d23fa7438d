"""A root like Alpine Linux's, of this machine's own musl and BusyBox: another C library, shell and tools than the
layer's, at the places where a host has them.

    /lib/ld-musl-x86_64.so.1     musl's loader, which is its C library as well: `libc.musl-x86_64.so.1` is a link to it
    /bin/busybox                 the tools, linked statically; each is a link in /bin, /sbin, /usr/bin or /usr/sbin
    /etc                         accounts, and whose root it is
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from outcrop.compat.family import Family
from outcrop.compat.relocate.elf_image import ElfImage
from outcrop.errors import FormatError, MissingCapability, storage_error

SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""The programs' directories in such a root, as Alpine's `/etc/profile` names them."""

_WHAT = "a root with musl and BusyBox"
_INSTALL_HINT = "install the packages `musl` and `busybox-static`"
_BUSYBOX = "bin/busybox"
_LIST_SECONDS = 20

_TEXTS = {
    "etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Like Alpine Linux v3.20"\n',
    "etc/alpine-release": "3.20.0\n",
    "etc/profile": f"export PATH={':'.join(SEARCHED)}\n",
    "etc/shells": "/bin/sh\n/bin/ash\n",
}


def make_musl_root(
    directory: Path,
    family: Family,
    accounts: Mapping[str, str],
    *,
    libraries: Path = Path("/lib"),
    find_program: Callable[[str], str | None] = shutil.which,
) -> None:
    """Makes such a root for programs of `family` in the new `directory`, with the texts of `accounts` by their path.

    MissingCapability where this machine has no musl or no static BusyBox for that family; StorageError."""
    loader = libraries / _loader(family)
    if not loader.exists():
        raise MissingCapability(what=_WHAT, problem=f"musl for {family.name} is not installed", hint=_INSTALL_HINT)
    busybox = _static_busybox(family, find_program)
    try:
        places = _applets(busybox)
        for path in ("lib", "bin", "etc", *(place.rpartition("/")[0] for place in places)):
            (directory / path).mkdir(parents=True, exist_ok=True)
        shutil.copy(loader, directory / "lib" / loader.name)
        (directory / f"lib/libc.musl-{family.name}.so.1").symlink_to(loader.name)
        shutil.copy(busybox, directory / _BUSYBOX)
        for place in places:
            (directory / place).symlink_to(f"/{_BUSYBOX}")
        for path, text in (_TEXTS | dict(accounts)).items():
            (directory / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error) from error


def has_musl(system: Path, family: Family) -> bool:
    """Whether the files of a system in the directory `system` have musl for programs of `family`."""
    return (system / "lib" / _loader(family)).is_file()


def _loader(family: Family) -> str:
    return f"ld-musl-{family.name}.so.1"


def _static_busybox(family: Family, find_program: Callable[[str], str | None]) -> Path:
    found = find_program("busybox")
    if found is None:
        raise MissingCapability(what=_WHAT, problem="BusyBox is not installed", hint=_INSTALL_HINT)
    try:
        image = ElfImage(Path(found).read_bytes())
    except OSError as error:
        raise storage_error(error) from error
    except FormatError as error:
        raise MissingCapability(what=_WHAT, problem=f"{found} is no program of Linux", hint=_INSTALL_HINT) from error
    if image.machine != family.machine:
        problem = f"BusyBox is not for {family.name}"
        raise MissingCapability(what=_WHAT, problem=problem, hint=_INSTALL_HINT)
    if image.interpreter is not None:
        raise MissingCapability(what=_WHAT, problem="BusyBox is not linked statically", hint=_INSTALL_HINT)
    return Path(found)


def _applets(busybox: Path) -> list[str]:
    """Where the tools of `busybox` are, relative to the root."""
    listed = subprocess.run(
        [busybox, "--list-full"], capture_output=True, text=True, check=False, timeout=_LIST_SECONDS
    )
    places = (place for place in listed.stdout.split() if place != _BUSYBOX)
    return [place for place in places if place.startswith(("bin/", "sbin/", "usr/bin/", "usr/sbin/"))]
