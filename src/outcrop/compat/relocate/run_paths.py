"""Where a moved file looks for libraries.

First come the trusted directories, in which a site puts what takes the place of a library; then the directories that
the file itself names, as on Debian, where they come before the system's; then the layer's own.

All are one DT_RPATH. The difference to a package's DT_RUNPATH is in what it holds for: also for what the libraries
need, and before LD_LIBRARY_PATH. The first changes nothing within a layer, whose libraries each have a run path of
their own that ends in the layer's; the second keeps a host's libraries out.

Source: glibc, `elf/dl-load.c` (`_dl_map_object`, `fillin_rpath`); ld.so(8), "Dynamic string tokens".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from outcrop.compat.relocate.elf_image import DT_RPATH, DT_RUNPATH, ElfImage
from outcrop.compat.relocate.path_rules import PathRules

ORIGIN = re.compile(rb"\$(?:ORIGIN|\{ORIGIN\})(?=/|\Z)")
"""The directory of the file itself, at the beginning of an entry."""


@dataclass(frozen=True, slots=True)
class RunPath:
    """The directories of a moved file, best first, and what its own run path had that is not the layer's."""

    directories: tuple[bytes, ...]
    left: tuple[bytes, ...] = ()


def run_path_entries(image: ElfImage) -> tuple[bytes, ...]:
    """The directories that the file names, as the loader reads them: DT_RPATH counts where there is no DT_RUNPATH."""
    paths = image.dynamic_strings(DT_RUNPATH) or image.dynamic_strings(DT_RPATH)
    return tuple(entry for path in paths for entry in path.split(b":"))


def moved_run_path(entries: Sequence[bytes], path: str, directories: Sequence[str], rules: PathRules) -> RunPath:
    """The run path of the file `path`, relative to the tree, that named `entries`. `directories` are the trusted ones
    and, last, the layer's own. An entry that leads out of the layer is left out, as is one that begins in whatever
    directory a program is started from."""
    *before, last = map(os.fsencode, directories)
    own, left = [], []
    for entry in entries:
        moved = _moved(entry, path, rules)
        if moved is not None:
            own.append(moved)
        elif entry:
            left.append(entry)
    trusted = [one for one in before if one != last]
    return RunPath(tuple(dict.fromkeys((*trusted, *own, last))), tuple(left))


def stays_below(entry: bytes, path: str) -> bool:
    """Whether `entry`, which begins with `$ORIGIN`, leads to a directory of the tree from its file `path`."""
    rest = ORIGIN.sub(b"", entry, count=1).lstrip(b"/")
    place = os.path.normpath(os.path.join(os.path.dirname(os.fsencode(path)), rest))
    return place != b".." and not place.startswith(b"../")


def _moved(entry: bytes, path: str, rules: PathRules) -> bytes | None:
    if ORIGIN.match(entry):
        return entry if stays_below(entry, path) else None
    clean = re.sub(rb"//+", b"/", entry).rstrip(b"/")
    if b"/../" in clean + b"/" or not rules.moves(clean):
        return None
    return rules.prefix + clean
