"""Where a build sees its things: in a sandbox at fixed short places, or at their real ones.

In a sandbox the tree is at the final prefix, `/tmp` is the scratch directory, and mirror, easyconfigs and easystacks
appear below it. So no path of the machine that builds (with its spaces, its non-ASCII letters, its length) reaches
compilers, logs or binaries. Without a sandbox everything is where it is, which needs the tree at its final place.

On a compatibility layer the sandbox has nothing of the host: the layer, links to it at the stack's fixed paths, such as
`/bin/sh`, since scripts name them, EasyBuild's package, and what the kernel shows. So no test of a build can find a
program, a header or a library that users do not have.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from outcrop.errors import InvalidValue, MissingCapability
from outcrop.software.build_tree import BuildTree
from outcrop.software.layer_below import LayerBelow, easybuild_places
from outcrop.software.layout import SoftwareLayout
from outcrop.software.sandbox import Bind, HostTree, KernelOnly, Link, LocalHost, View, arguments, ensure_available
from outcrop.software.stack import FIXED_PATHS, STACK_FILE

PRIVATE_TMP = PurePosixPath("/tmp")
INPUTS = PRIVATE_TMP / "outcrop"
"""Below the private `/tmp`, since a mount point can be made there."""

HOOKS_FILE = Path(__file__).with_name("easybuild_hooks.py")


@dataclass(frozen=True, slots=True)
class BuildPlaces:
    """The paths of a build as the build sees them. `scratch` is writable, `events` lies in it."""

    scratch: Path
    mirror: Path
    easyconfigs: tuple[Path, ...]
    easystacks: tuple[Path, ...]
    hooks: Path

    @property
    def home(self) -> Path:
        return self.scratch / "home"

    @property
    def temporary(self) -> Path:
        return self.scratch / "tmp"

    @property
    def events(self) -> Path:
        return self.scratch / "events"


@dataclass(frozen=True, slots=True)
class BuildView:
    """How to run a command of a build: in a sandbox (`view` of the `host`) or directly (`view` is None)."""

    places: BuildPlaces
    view: View | None
    bubblewrap: str = ""
    host: HostTree = field(default_factory=LocalHost)

    def command_line(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """What to run for `command` with exactly `environment`."""
        if self.view is None:
            return list(command)
        return arguments(replace(self.view, environment=environment), command, self.host, self.bubblewrap)

    def on_host(self, tree: BuildTree, seen: str) -> Path:
        """Where a scratch path that the build speaks of lies for us."""
        if self.view is not None and PurePosixPath(seen).is_relative_to(PRIVATE_TMP):
            return tree.scratch / PurePosixPath(seen).relative_to(PRIVATE_TMP)
        return Path(seen)


def direct_places(
    tree: BuildTree, mirror: Path, easyconfigs: Sequence[Path], easystacks: Sequence[Path]
) -> BuildPlaces:
    """The real paths."""
    return BuildPlaces(tree.scratch, mirror, tuple(easyconfigs), tuple(easystacks), HOOKS_FILE)


def sandboxed(
    layout: SoftwareLayout,
    tree: BuildTree,
    mirror: Path,
    easyconfigs: Sequence[Path],
    easystacks: Sequence[Path],
    needed_places: Iterable[Path],
    layer: LayerBelow | None = None,
    fixed_paths: Sequence[PurePosixPath] = FIXED_PATHS,
) -> BuildView:
    """The sandbox of a build: no network, no writing but into the tree, less the `layer` in it, and the scratch
    directory. `needed_places` is where Python or, on a layer, EasyBuild is; `fixed_paths` then lead to the layer's.
    InvalidValue for one of these that it has not, unless it is a usual one."""
    seen_mirror = INPUTS / "mirror"
    seen_easyconfigs = tuple(INPUTS / f"easyconfigs-{number}" for number, _path in enumerate(easyconfigs))
    seen_easystacks = tuple(INPUTS / f"easystack-{number}" / path.name for number, path in enumerate(easystacks))
    seen_hooks = INPUTS / HOOKS_FILE.name
    binds = [Bind(tree.scratch, PRIVATE_TMP, writable=True)]
    # Python, EasyBuild and Outcrop may themselves live below the directory that was just covered.
    hidden = (place for place in needed_places if layer is not None or place.is_relative_to(PRIVATE_TMP))
    binds += [Bind(place, PurePosixPath(place)) for place in hidden]
    binds += [Bind(mirror, seen_mirror), Bind(HOOKS_FILE, seen_hooks)]
    binds += [Bind(path, seen) for path, seen in zip(easyconfigs, seen_easyconfigs, strict=True)]
    binds += [Bind(path, seen) for path, seen in zip(easystacks, seen_easystacks, strict=True)]
    binds.append(Bind(tree.root, layout.mount_point, writable=True))
    if layer is not None:
        binds.append(Bind(layer.tree, layer.prefix))
    view = View(
        binds=tuple(binds),
        links=_links(layer, fixed_paths) if layer is not None else (),
        network=False,
        host_writable=False,
        host_devices=False,
        isolated_processes=True,
        directory=PRIVATE_TMP,
    )
    places = BuildPlaces(
        Path(PRIVATE_TMP),
        Path(seen_mirror),
        tuple(map(Path, seen_easyconfigs)),
        tuple(map(Path, seen_easystacks)),
        Path(seen_hooks),
    )
    return BuildView(places, view, host=LocalHost() if layer is None else KernelOnly())


def _links(layer: LayerBelow, fixed_paths: Iterable[PurePosixPath]) -> tuple[Link, ...]:
    # Links, not binds: a program that asks where it is (Python, `$ORIGIN`) then finds its own files.
    links = []
    for path in fixed_paths:
        place = layer.place_of(path)
        if place is not None:
            links.append(Link(place, path))
        elif path not in FIXED_PATHS:
            raise InvalidValue(
                what=f"the fixed path {path}",
                problem=f"leads nowhere: the layer {layer.prefix} has nothing of the kind",
                hint=f"bring it into the layer's sets, or take it out of `fixed_paths` in {STACK_FILE}",
            )
    return tuple(links)


def choose_view(
    layout: SoftwareLayout,
    tree: BuildTree,
    mirror: Path,
    easyconfigs: Sequence[Path],
    easystacks: Sequence[Path],
    find_program: Callable[[str], str | None] = shutil.which,
    layer: LayerBelow | None = None,
    fixed_paths: Sequence[PurePosixPath] = FIXED_PATHS,
) -> BuildView:
    """The sandbox where this machine can make one; else the real paths, if the tree already is at its final place.

    Raises MissingCapability when neither is possible, InvalidValue as `sandboxed` does. The directories to bind must
    exist.
    """
    needed = python_places() if layer is None else easybuild_places()
    inside = sandboxed(layout, tree, mirror, easyconfigs, easystacks, needed, layer, fixed_paths)
    assert inside.view is not None
    trial = ("true",) if layer is None else (layer.shell, "-c", "true")
    try:
        return replace(inside, bubblewrap=ensure_available(inside.view, inside.host, find_program, trial))
    except MissingCapability as error:
        if Path(layout.mount_point).resolve() == tree.root.resolve():
            return BuildView(direct_places(tree, mirror, easyconfigs, easystacks), None)
        raise MissingCapability(
            what="a sandbox for building",
            problem=f"{error.message}; without it the build tree must be {layout.mount_point} itself",
            hint=f"{error.hint}; or give the stack a `mount_root` that you can write to, and build there",
        ) from error


def python_places() -> tuple[Path, ...]:
    """The directories that this Python and its packages live in, outermost only."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent, Path(__file__).parents[2]}
    return tuple(sorted(place for place in found if not any(other in place.parents for other in found)))
