"""Links that a repository has for all versions of a stack, in a directory on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from outcrop.errors import storage_error


def lay_links(root: Path, targets: Mapping[str, str]) -> None:
    """Makes links below `root`, a copy of a repository's root, by their paths. One that leads elsewhere is replaced in
    one step; what is no link stays. StorageError."""
    try:
        for path, target in targets.items():
            place = root / path
            if place.is_symlink() or not place.exists():
                _lay(place, target)
    except OSError as error:
        raise storage_error(error) from error


def _lay(place: Path, target: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Layers of two families may be built side by side.
    with suppress(FileExistsError):
        place.symlink_to(target)
    if os.readlink(place) != target:
        new = place.with_name(f".{place.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.rename(place)
