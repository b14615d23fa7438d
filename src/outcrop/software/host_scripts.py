"""Scripts of what was built on a layer that a program of the user's host would start.

The first line of a script names its interpreter. `/usr/bin/perl` is the layer's while software is built, and the host's
for users, who may have another one or none. Every host has a shell and `env`, so these are not told of.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from outcrop.errors import storage_error
from outcrop.software.changeset import ChangeSet, files_of
from outcrop.software.foreign_needs import exempt_paths
from outcrop.software.layout import SoftwareLayout
from outcrop.software.stack import Foreign

_EVERYWHERE = frozenset({"/bin/sh", "/usr/bin/env"})
_FIRST_LINE = re.compile(rb"#![ \t]*(/[^ \t\r\n\0]*)")
_LONGEST = 256
"""What the kernel reads of a file to find its interpreter (BINPRM_BUF_SIZE)."""

_NAMED = 4


@dataclass(frozen=True, slots=True)
class HostScript:
    """The script `path`, relative to the repository's root, that the host's `interpreter` starts."""

    path: str
    interpreter: str


def host_scripts(layout: SoftwareLayout, changes: ChangeSet, allowed: Iterable[Foreign] = ()) -> tuple[HostScript, ...]:
    """The executable scripts in `changes` whose interpreter is outside of the repository, and which are not `allowed`
    to be so, in the order of the paths. StorageError."""
    exempt = exempt_paths(allowed)
    start, inside = f"{layout.software}/", f"{layout.mount_point}/"
    found = []
    for path in sorted(files_of(layout, changes)):
        interpreter = _interpreter(changes.tree / path)
        is_ours = not interpreter or interpreter in _EVERYWHERE or interpreter.startswith(inside)
        if not is_ours and not exempt.fullmatch(path.removeprefix(start)):
            found.append(HostScript(path, interpreter))
    return tuple(found)


def told(scripts: Sequence[HostScript]) -> str:
    """One sentence on `scripts`, and what mends them."""
    named = ", ".join(f"{one.path} ({one.interpreter})" for one in scripts[:_NAMED])
    more = f", and {len(scripts) - _NAMED} more" if len(scripts) > _NAMED else ""
    return (
        f"scripts are started by programs of the user's host: {named}{more}; `fix_perl_shebang_for` and its like in an "
        "easyconfig have `env` find the loaded module's"
    )


def _interpreter(path: Path) -> str:
    """What starts the executable script `path`; empty where it is none."""
    try:
        if not path.stat().st_mode & stat.S_IXUSR:
            return ""
        with path.open("rb") as file:
            match = _FIRST_LINE.match(file.read(_LONGEST))
    except OSError as error:
        raise storage_error(error) from error
    return match[1].decode("utf-8", "surrogateescape") if match else ""
