"""What the work of a publisher and of a reader costs at least, done in one thread and without anything around it."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path


def compress_all(directory: Path) -> None:
    """Reads every file below `directory`, compresses it with zlib level 6 and makes the SHA-1 of that."""
    for path, _names, files in os.walk(directory):
        for name in files:
            file = os.path.join(path, name)
            if not os.path.islink(file):
                hashlib.sha1(zlib.compress(Path(file).read_bytes(), 6), usedforsecurity=False).digest()


def inflate_all(objects: Iterable[Path]) -> None:
    """Reads every one of `objects`, which lie as in a repository, checks its SHA-1 and inflates it."""
    for path in objects:
        stored = path.read_bytes()
        assert hashlib.sha1(stored, usedforsecurity=False).hexdigest() == path.parent.name + path.name[:38]
        zlib.decompress(stored)
