"""The compatibility layer that a stack is built on, where its tree has one: shell, tools, Python, Lmod and compiler.

A build then takes its programs from the layer's directories alone, EasyBuild runs on the layer's Python, and what is
compiled names the layer's loader and libraries, so that it runs wherever the layer does.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.family import family_named
from outcrop.compat.layout import STARTPREFIX, LayerLayout
from outcrop.errors import MissingCapability
from outcrop.software.easybuild_plan import INSTALL_HINT, easybuild_command, easyconfig_directories
from outcrop.software.layout import SoftwareLayout

_LMOD = "usr/share/Lmod/libexec"
_PYTHON = "usr/bin/python3"
_COMPILER = "usr/bin/gcc"


@dataclass(frozen=True, slots=True)
class LayerBelow:
    """The layer at `layout`'s prefix, as builds and users see it; its files are in the directory `tree`."""

    layout: LayerLayout
    tree: Path

    @property
    def prefix(self) -> PurePosixPath:
        return self.layout.prefix

    @property
    def program_directories(self) -> tuple[str, ...]:
        return (f"{self.prefix}/usr/bin", f"{self.prefix}/usr/sbin")

    @property
    def shell(self) -> str:
        return f"{self.prefix}/usr/bin/bash"

    @property
    def python(self) -> str:
        return f"{self.prefix}/{_PYTHON}"

    @property
    def lmod(self) -> PurePosixPath:
        """Lmod's directory of programs."""
        return self.prefix / _LMOD

    def place_of(self, fixed: PurePosixPath) -> PurePosixPath | None:
        """Where users and builds find the layer's own of what a host has at the absolute path `fixed`, such as
        `/bin/bash`; None where the layer has none."""
        below = fixed.relative_to("/")
        for own in (PurePosixPath("usr", below), below):
            if os.path.lexists(self.tree / own):
                return self.prefix / own
        return None

    @property
    def can_build(self) -> bool:
        """Whether it has all that a build needs."""
        return all((self.tree / place).exists() for place in (_PYTHON, _COMPILER, f"{_LMOD}/lmod"))


def layer_below(layout: SoftwareLayout, tree: Path) -> LayerBelow | None:
    """The layer in `tree`, a copy of the repository's root, that builds what `layout` places; None where there is none.
    MissingCapability for one that cannot build."""
    layer = layer_in(layout, tree)
    if layer is not None and not layer.can_build:
        raise MissingCapability(
            what="building on the compatibility layer",
            problem=f"{layer.tree} has no compiler, no Python or no Lmod",
            hint="build it with `outcrop compat build --with compilers --replace`",
        )
    return layer


def layer_in(layout: SoftwareLayout, tree: Path) -> LayerBelow | None:
    """The layer in `tree` below what `layout` places, whether it can build or not; None where there is none."""
    family = family_named(layout.target.family.value)
    places = LayerLayout(layout.repository, layout.version, family, layout.mount_root)
    directory = tree / places.relative
    return LayerBelow(places, directory) if (directory / STARTPREFIX).is_file() else None


def easybuild_package() -> Path:
    """The directory of EasyBuild's Python package, which runs on any Python; MissingCapability without it."""
    found = importlib.util.find_spec("easybuild")
    if found is None or not found.submodule_search_locations:
        raise MissingCapability(what="EasyBuild", problem="Python cannot import it", hint=INSTALL_HINT)
    return Path(next(iter(found.submodule_search_locations))).resolve()


def easybuild_places() -> tuple[Path, ...]:
    """The directories with all of EasyBuild that a build needs, besides its sources; MissingCapability without it."""
    command = easybuild_command()
    places = (easybuild_package(), *easyconfig_directories(), command.parents[1] / "easybuild" / "scripts")
    return tuple(dict.fromkeys(place for place in places if place.is_dir()))
