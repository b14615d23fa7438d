"""What makes a finished prefix a layer: what was for building goes, links to the host and `startprefix` come."""

from __future__ import annotations

import os
from pathlib import Path

from outcrop.compat.finish import add_redirections, write_own_files
from outcrop.compat.gentoo.portage_files import PROFILE_LINK, REPOSITORIES, SOURCE_ARCHIVES
from outcrop.compat.gentoo.workplace import remove_directory
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.redirection import VARIANT
from outcrop.errors import storage_error

_ONLY_FOR_BUILDING = (
    "tmp",
    "var/tmp",
    "var/log",
    SOURCE_ARCHIVES,
    "var/cache/binpkgs",
    "var/cache/edb",
    REPOSITORIES,
    PROFILE_LINK,
    ".stage1-finished",
    ".stage2-finished",
    ".stage3-finished",
    "stage1.log",
    "stage2.log",
    "stage3.log",
)
"""The first programs, Portage's work and caches, ebuilds (600 MB), and what marks the way."""


def is_only_for_building(path: str) -> bool:
    """Whether `path`, relative to the prefix, is gone when a layer is made, whatever package it is from."""
    return any(path == one or path.startswith(f"{one}/") for one in _ONLY_FOR_BUILDING)


def make_layer(tree: Path, layout: LayerLayout, description: LayerDescription) -> None:
    """Does all of it, as often as it is called. StorageError, InvalidValue."""
    for place in (*_ONLY_FOR_BUILDING, *(host.path for host in description.host_links)):
        remove_directory(tree / place)
    try:
        _remove_variant_links(tree)
        for place in ("tmp", "var/tmp", "var/log"):
            (tree / place).mkdir(parents=True, exist_ok=True)
        add_redirections(tree, layout, description)
        write_own_files(tree, layout)
        _take_rights_away(tree)
    except OSError as error:
        raise storage_error(error) from error


def _remove_variant_links(tree: Path) -> None:
    """Those of an earlier attempt, which may have been declared otherwise."""
    for directory, names, files in os.walk(tree):
        for name in (*names, *files):
            path = Path(directory, name)
            if path.is_symlink() and os.readlink(path).startswith(VARIANT):
                path.unlink()


def _take_rights_away(tree: Path) -> None:
    """Everybody may read, nobody but the owner may write, no program has special rights. Times stay: Python's bytecode
    knows its sources by them."""
    for directory, _, files in os.walk(tree):
        os.chmod(directory, 0o755)
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)
