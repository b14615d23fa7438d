"""That every program and library of a layer gets the layer's loader and libraries, told from the files alone.

Programs that start prove the same of themselves. Plugins, libraries that sets name for others, and helpers below
`usr/lib` are started or opened by nobody: here each is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from outcrop.compat.layout import RECORDS, LayerLayout
from outcrop.compat.linkage import Linkage, linkage_of
from outcrop.compat.loader_search import LoaderSearch, expanded, loader_search
from outcrop.compat.verify.elsewhere import Elsewhere
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import FormatError, NotFound, storage_error


def libraries(tree: Path, layout: LayerLayout, elsewhere: Iterable[Elsewhere] = ()) -> Checked:
    """Every program names the layer's loader, no run path leads out of the layer, and every library that a file needs
    is one of the layer's by the search that its loader makes, but for those that `elsewhere` allows. StorageError."""
    try:
        search = loader_search(tree, layout)
    except (FormatError, NotFound) as error:
        return checked(0, [Finding(layout.family.loader.lstrip("/"), error.message)])
    allowed = tuple(elsewhere)
    number, findings = 0, []
    for path in sorted(_files(tree)):
        try:
            linkage = linkage_of(tree / path)
        except FormatError as error:
            findings.append(Finding(path, error.message))
            continue
        if linkage is not None:
            number += 1
            findings += _wrong(path, linkage, search, allowed)
    return checked(number, findings)


def _wrong(path: str, linkage: Linkage, search: LoaderSearch, elsewhere: tuple[Elsewhere, ...]) -> Iterator[Finding]:
    layout = search.layout
    if linkage.machine != layout.family.machine:
        yield Finding(path, f"is for processor {linkage.machine}, not for {layout.family.name}")
        return
    if linkage.interpreter not in ("", layout.loader):
        yield Finding(path, f"is started by {linkage.interpreter}, which is not the layer's loader")
    directories = expanded(linkage.run_path, f"{layout.prefix}/{path}", layout.family.triplet)
    for entry, place in zip(linkage.run_path, directories, strict=True):
        if place != str(layout.prefix) and not place.startswith(f"{layout.prefix}/"):
            yield Finding(path, f"looks for libraries in {entry or 'the current directory'}, outside of the layer")
    for name in linkage.needed:
        if not search.finds(name, path, linkage) and not any(one.allows(path, name) for one in elsewhere):
            yield Finding(path, f"needs {name}, which the loader does not find in the layer")


def _files(tree: Path) -> Iterator[str]:
    """The regular files of the layer, relative to it, without records. StorageError."""
    try:
        for directory, names, files in os.walk(tree):
            below = os.path.relpath(directory, tree)
            if below == ".":
                names[:] = [name for name in names if name != RECORDS]
            for name in files:
                place = os.path.join(directory, name)
                if os.path.isfile(place) and not os.path.islink(place):
                    yield os.path.normpath(os.path.join(below, name))
    except OSError as error:
        raise storage_error(error) from error
