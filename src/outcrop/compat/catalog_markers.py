"""The files by which a publisher says where catalogs begin: they come to a layer when it is published.

A repository splits what has many entries, and its owner's rules say where else; either puts empty files into
directories, which whoever reads a layer sees. They are no part of what was built. The one at a layer's top is: building
puts it there.
"""

from __future__ import annotations

import stat
from pathlib import Path

from outcrop.software.layout import AUTOMATIC_MARKER, CATALOG_MARKER


def is_publishers(path: str, place: Path) -> bool:
    """Whether the file `place`, at `path` relative to its layer, is a publisher's. What is not empty, or no file, is
    somebody else's, whatever its name. OSError."""
    above, _, name = path.rpartition("/")
    if not above or name not in (CATALOG_MARKER, AUTOMATIC_MARKER):
        return False
    found = place.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == 0
