"""A layer as a CernVM-FS client shows it: links that a site can redirect lead to the host's files."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from outcrop.errors import storage_error

_VARIANT = re.compile(r"\$\((?P<name>[A-Za-z0-9_]+)(?::-(?P<default>[^)]*))?\)")


def show_as_client(tree: Path, place: Path) -> None:
    """Makes the new directory `place` a copy of `tree`, of links to its files where the file system allows that, with
    every variable at its default. StorageError."""

    def copy(source: str, target: str) -> str:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, target, follow_symlinks=False)
        return target

    try:
        shutil.copytree(tree, place, symlinks=True, copy_function=copy)
        for directory, names, files in os.walk(place):
            for name in (*names, *files):
                link = Path(directory, name)
                if link.is_symlink() and "$(" in (target := os.readlink(link)):
                    link.unlink()
                    link.symlink_to(filled_in(target))
    except OSError as error:
        raise storage_error(error) from error


def filled_in(target: str) -> str:
    """The target of a variant link where no variable is set."""
    return _VARIANT.sub(lambda match: match["default"] or "", target)
