"""Whether libraries in front of a program reach it, by what the program's file says.

They do not reach what is linked statically, what gets rights from its file (the loader then takes no libraries), what
is for another processor, and what another C library loads. A script is as its interpreter is. Sources: ld.so(8),
elf(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from outcrop.client.preload.views import View, real_path
from outcrop.client.trace.interpreters import MAXIMUM_INTERPRETERS, interpreter_of

_USUAL_PATH = "/usr/bin:/bin"
_MOST_LINKS = 40
_ELF_MAGIC = b"\x7fELF"
_CLASS, _MACHINE = slice(4, 5), slice(18, 20)
_HEADER_BYTES = 64
_CAPABILITIES = "security.capability"
_OTHER_LOADER = "ld-musl"


def why_not_reached(
    command: str, environment: Mapping[str, str], views: Sequence[View], own: Path = Path("/proc/self/exe")
) -> str:
    """Why `command` would not see `views`, in a sentence without its full stop; empty if it would, and for what does
    not exist. `own`: a program of the processor that is meant."""
    path = _found(command, environment, views)
    for _ in range(MAXIMUM_INTERPRETERS):
        if path is None:
            return ""
        try:
            with open(path, "rb") as file:
                header = file.read(_HEADER_BYTES)
                interpreter = interpreter_of(partial(_read_at, file.fileno()))
                status = os.fstat(file.fileno())
        except OSError:
            return ""
        if header.startswith(_ELF_MAGIC):
            return _why_not(path, header, interpreter, status, own)
        if interpreter is None:
            return ""
        path = _real(os.fsdecode(interpreter), views)
    return ""


def _why_not(path: Path, header: bytes, interpreter: bytes | None, status: os.stat_result, own: Path) -> str:
    with open(own, "rb") as file:
        ours = file.read(_HEADER_BYTES)
    if (header[_CLASS], header[_MACHINE]) != (ours[_CLASS], ours[_MACHINE]):
        return f"{path} is for another processor, or for another word size"
    if interpreter is None:
        return f"{path} is linked statically"
    if _OTHER_LOADER in os.fsdecode(interpreter):
        return f"{path} is linked with musl, and the libraries are for glibc"
    if _gives_rights(path, status):
        return f"{path} gets rights from its file (setuid, setgid or capabilities), so the loader takes no libraries"
    return ""


def _read_at(file: int, offset: int, size: int) -> bytes:
    return os.pread(file, size, offset)


def _gives_rights(path: Path, status: os.stat_result) -> bool:
    if status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid():
        return True
    if status.st_mode & stat.S_ISGID and status.st_gid != os.getegid():
        return True
    with suppress(OSError):
        return bool(os.getxattr(path, _CAPABILITIES)) and os.geteuid() != 0
    return False


def _found(command: str, environment: Mapping[str, str], views: Sequence[View]) -> Path | None:
    """The file that `command` runs, None where there is none."""
    if "/" in command:
        return _real(command, views)
    for directory in environment.get("PATH", _USUAL_PATH).split(":"):
        path = _real(f"{directory or '.'}/{command}", views)
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def _real(path: str, views: Sequence[View]) -> Path | None:
    """The file that `path` leads to; a link may lead into a view. None where there is none."""
    for _ in range(_MOST_LINKS):
        real = real_path(path, views)
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(real))
        except OSError:
            return Path(real) if os.path.exists(real) else None
    return None
