"""Links that a repository has for all versions of a stack, in a directory on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from outcrop.compat.redirection import HOST_INJECTIONS
from outcrop.errors import storage_error


def lay_links(root: Path, targets: Mapping[str, str]) -> None:
    """Makes links below `root`, a copy of a repository's root, by their paths. One that leads elsewhere is replaced in
    one step; what is no link stays, and so does any `host_injections`, which is the owner's. StorageError."""
    try:
        for path, target in targets.items():
            place = root / path
            is_ours = place.is_symlink() and path != HOST_INJECTIONS
            if is_ours or not os.path.lexists(place):
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
