"""A layer as a CernVM-FS client shows it: links that a site can redirect lead where its settings say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from outcrop.compat.delivered import declared_links
from outcrop.compat.redirection import VARIANT, VariantLink
from outcrop.compat.shared_links import lay_links
from outcrop.cvmfs.variant import expand
from outcrop.errors import storage_error

Settings = Mapping[str, str]
"""The variables of a client, by name."""

NO_SETTINGS: Settings = {}


def show_as_client(tree: Path, place: Path, settings: Settings = NO_SETTINGS) -> None:
    """Makes the new directory `place` a copy of `tree`, of links to its files where the file system allows that, as a
    client with these `settings` shows it, whatever the one shows that `tree` may come from. FormatError,
    StorageError."""
    declared = declared_links(tree) or {}

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
                if not link.is_symlink():
                    continue
                stored = declared.get(os.path.relpath(link, place))
                target = stored.target if stored is not None else os.readlink(link)
                if VARIANT in target:
                    link.unlink()
                    link.symlink_to(filled_in(target, settings))
    except OSError as error:
        raise storage_error(error) from error


def show_shared(links: Iterable[VariantLink], place: Path, settings: Settings = NO_SETTINGS) -> None:
    """Makes the `links` of a repository in the directory `place`, as a client with these `settings` shows them.
    StorageError."""
    lay_links(place, shown_targets(links, settings))


def shown_targets(links: Iterable[VariantLink], settings: Settings = NO_SETTINGS) -> dict[str, str]:
    """Where a client with these `settings` shows `links` to lead, by their paths."""
    return {link.path: filled_in(link.target, settings) for link in links}


def filled_in(target: str, settings: Settings = NO_SETTINGS) -> str:
    """The target of a link as a client with these `settings` shows it."""
    known = {os.fsencode(name): os.fsencode(value) for name, value in settings.items()}
    return os.fsdecode(expand(os.fsencode(target), known))
