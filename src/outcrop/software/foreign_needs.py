"""What was built on a layer needs the layer and the stack, and nothing of the machine that built it.

A program that names the host's loader, looks for libraries outside of the repository, or needs a library that only the
host has, runs where it was built and breaks elsewhere: its installation is held back before it can be published, and so
is what loads that. A stack says which files may be so. What is opened by name while a program runs is not seen here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.compat.left_out import glob_pattern
from outcrop.compat.linkage import Linkage, linkage_of
from outcrop.compat.loader_search import LoaderSearch, expanded, loader_search
from outcrop.errors import FormatError, InvalidValue, storage_error
from outcrop.software.changeset import ChangeSet, files_of
from outcrop.software.layer_below import LayerBelow
from outcrop.software.layout import SoftwareLayout
from outcrop.software.stack import STACK_FILE, Foreign

_DRIVERS = re.compile(r"lib(?:cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[a-z0-9-]+)\.so\.\d+")
"""Libraries of a device's driver, which are always the host's: sites put them into `host_injections`."""

_NAMED = 4
"""More files than this make an error unreadable."""


@dataclass(frozen=True, slots=True)
class ForeignNeed:
    """The file `path`, relative to the repository's root, of the installation behind `module`, and what it has of
    another machine."""

    path: str
    module: str
    problem: str


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What is not to be published: the installations with `needs`, and the modules `dependents`, which load them."""

    needs: tuple[ForeignNeed, ...] = ()
    dependents: tuple[str, ...] = ()

    @property
    def problems(self) -> Mapping[str, tuple[str, ...]]:
        """Why, by module."""
        found: dict[str, tuple[str, ...]] = {}
        for need in self.needs:
            found[need.module] = (*found.get(need.module, ()), f"{need.path} {need.problem}")
        return found | dict.fromkeys(self.dependents, ("loads what is held back",))

    def require_nothing(self, software: Path) -> None:
        """Returns if nothing is held back; else InvalidValue that names it. `software` has the installations."""
        if not self.needs:
            return
        shown = "; ".join(f"{one.path} {one.problem}" for one in self.needs[:_NAMED])
        more = f"; and {len(self.needs) - _NAMED} more" if len(self.needs) > _NAMED else ""
        with_it = f"; what loads it is left out, too: {', '.join(self.dependents)}" if self.dependents else ""
        places = sorted({str(software / one.module) for one in self.needs})
        raise InvalidValue(
            what="what was built on the layer",
            problem=f"would need the machine that built it, and is left out: {shown}{more}{with_it}",
            hint="bring what is missing into the layer's sets or the easystack, or take it out of the easyconfig, "
            f"then remove {', '.join(places)} and build again; or say in {STACK_FILE} why it may be so: `[[foreign]]`",
        )


def held_back(
    layout: SoftwareLayout, layer: LayerBelow, changes: ChangeSet, allowed: Iterable[Foreign] = ()
) -> HeldBack:
    """The installations in `changes` with a program or library that does not name the layer's loader, looks for
    libraries outside of the repository, or needs one that neither the layer nor the stack has, unless it is `allowed`;
    and those whose module files load them. FormatError for a layer whose loader says nothing, StorageError."""
    needs = foreign_needs(layout, layer, changes, allowed)
    held = {need.module for need in needs}
    if not held:
        return HeldBack()
    texts = {one.module: _module_text(layout, changes.tree, one.module) for one in changes.installations}
    dependents: list[str] = []
    while more := sorted(
        module for module, text in texts.items() if module not in held and any(f'"{name}"' in text for name in held)
    ):
        dependents += more
        held.update(more)
    return HeldBack(needs, tuple(sorted(dependents)))


def _module_text(layout: SoftwareLayout, tree: Path, module: str) -> str:
    try:
        return (tree / layout.module_file(module)).read_text("utf-8", "replace")
    except OSError as error:
        raise storage_error(error) from error


def exempt_paths(allowed: Iterable[Foreign]) -> re.Pattern[str]:
    """What paths below the directory of the installations match that are `allowed` to need more."""
    return re.compile("|".join(glob_pattern(glob) for one in allowed for glob in one.paths) or r"(?!)")


def foreign_needs(
    layout: SoftwareLayout, layer: LayerBelow, changes: ChangeSet, allowed: Iterable[Foreign] = ()
) -> tuple[ForeignNeed, ...]:
    """What in `changes` needs something else than the layer and the stack, and is not `allowed`, in the order of the
    paths. FormatError, StorageError."""
    repository = _Repository(layout, changes.tree, loader_search(layer.tree, layer.layout))
    start = f"{layout.software}/"
    exempt = exempt_paths(allowed)
    found = []
    for path in sorted(files_of(layout, changes)):
        if exempt.fullmatch(path.removeprefix(start)):
            continue
        try:
            linkage = linkage_of(changes.tree / path)
        except FormatError:
            continue  # no file that the loader would take
        if linkage is not None and linkage.machine == layer.layout.family.machine:
            module = "/".join(Path(path).relative_to(layout.software).parts[:2])
            found += [ForeignNeed(path, module, problem) for problem in repository.problems(path, linkage)]
    return tuple(found)


@dataclass(slots=True)
class _Repository:
    """The files of the repository whose root is the directory `tree`: the layer's, as its loader finds them by
    `search`, and the stack's."""

    layout: SoftwareLayout
    tree: Path
    search: LoaderSearch
    _names: set[str] = field(default_factory=set)

    def problems(self, path: str, linkage: Linkage) -> Iterator[str]:
        loader = self.search.layout.loader
        if linkage.interpreter not in ("", loader):
            yield f"is started by {linkage.interpreter}, not by {loader}"
        seen = f"{self.layout.mount_point}/{path}"
        directories = list(expanded(linkage.run_path, seen, self.search.layout.family.triplet))
        for entry, directory in zip(linkage.run_path, directories, strict=True):
            if not self._is_inside(directory):
                yield f"looks for libraries in {entry or 'the current directory'}"
        for name in linkage.needed:
            if not self._provides(name, directories):
                yield f"needs {name}, which neither the layer nor the stack has"

    def _is_inside(self, place: str) -> bool:
        return f"{os.path.normpath(place)}/".startswith(f"{self.layout.mount_point}/")

    def _provides(self, name: str, directories: list[str]) -> bool:
        if "/" in name:
            return self._is_there(name)
        return (
            any(self._is_there(f"{directory}/{name}") for directory in directories)
            or self.search.finds_by_itself(name)
            or _DRIVERS.fullmatch(name) is not None
            or name in self._libraries()
        )

    def _is_there(self, place: str) -> bool:
        return self._is_inside(place) and (self.tree / os.path.relpath(place, self.layout.mount_point)).exists()

    def _libraries(self) -> set[str]:
        """The names of all libraries in the stack's software for this family: a module may be opened by a program that
        has them."""
        if not self._names:
            family = self.tree.joinpath(*self.layout.relative.parts[:5])
            try:
                self._names = {name for _, _, names in os.walk(family) for name in names if ".so" in name}
            except OSError as error:
                raise storage_error(error) from error
        return self._names
