"""Building easystacks with EasyBuild for one target: `prepare` says what would be done, `run` does it.

The installation prefix is always the final one, while the files go to a build tree on disk; a sandbox brings the two
together. EasyBuild runs as a process of its own: once for each easystack with options for single easyconfigs, once for
everything else that is missing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from outcrop.errors import CommandFailed, MissingCapability, NotFound, storage_error
from outcrop.init.optarch import NEWEST_GCC, optarch
from outcrop.init.target import Target
from outcrop.software.build_tree import BuildTree
from outcrop.software.build_view import BuildView, choose_view
from outcrop.software.changeset import ChangeSet, Installation, change_set, units_in
from outcrop.software.easybuild_plan import (
    easybuild_command,
    easyconfig_directories,
    plan_easystacks,
    require_easybuild,
)
from outcrop.software.easybuild_run import EasyBuildRun, Listener
from outcrop.software.easybuild_settings import (
    PROGRAM_DIRECTORIES,
    BuildSettings,
    build_variables,
    clean_environment,
)
from outcrop.software.easystack import read_easystack
from outcrop.software.foreign_needs import HeldBack, held_back
from outcrop.software.host_scripts import host_scripts, told
from outcrop.software.layer_below import LayerBelow, easybuild_package, layer_below, layer_in
from outcrop.software.layout import SoftwareLayout
from outcrop.software.lmod import cache_command, find_lmod, render_lmodrc, require_lmod
from outcrop.software.plan import BuildPlan, PlannedInstallation
from outcrop.software.sources.mirror import survey
from outcrop.software.stack import Stack

_PACKAGES = "python"
"""Where in the scratch directory a layer's Python finds EasyBuild."""

COMPILER = "GCCcore"
"""The software whose version decides which processors the code can be tuned for."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build and where. `easyconfigs` are directories searched before the stack's own and EasyBuild's."""

    stack: Stack
    target: Target
    easystacks: tuple[Path, ...]
    tree: Path
    mirror: Path
    jobs: int
    easyconfigs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedBuild:
    """What `run` will do: build `missing` of `plan` for `layout`. `optarch` is EasyBuild's word for the processor."""

    request: BuildRequest
    layout: SoftwareLayout
    tree: BuildTree
    easyconfigs: tuple[Path, ...]
    plan: BuildPlan
    missing: tuple[PlannedInstallation, ...]
    optarch: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """What a build did. `changes` is everything in the tree that is not published yet, but for what is `held_back`."""

    changes: ChangeSet
    built: tuple[Installation, ...]
    skipped: tuple[Installation, ...]
    seconds: float
    logs: tuple[Path, ...]
    notes: tuple[str, ...]
    held_back: HeldBack


def available_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def prepare(
    request: BuildRequest, plan: BuildPlan | None = None, environment: Mapping[str, str] = os.environ
) -> PreparedBuild:
    """Everything that a build of `request` would do, without changing anything.

    `plan` saves asking EasyBuild again where the caller has asked. Raises InvalidValue or FormatError for what cannot
    be resolved, MissingCapability without EasyBuild.
    """
    own = request.stack.easyconfig_directory
    easyconfigs = tuple(path.absolute() for path in (*request.easyconfigs, *((own,) if own else ())))
    if plan is None:
        plan = plan_easystacks(request.easystacks, easyconfigs, request.stack.filter_dependencies, environment)
    layout = request.stack.layout(request.target)
    tree = BuildTree(request.tree.absolute())
    missing = tuple(one for one in plan.installations if not tree.is_installed(layout, one.module))
    versions = [one.version for one in plan.installations if one.name == COMPILER]
    gcc = min(versions, key=_comparable, default=NEWEST_GCC)
    return PreparedBuild(
        request=request,
        layout=layout,
        tree=tree,
        easyconfigs=easyconfigs,
        plan=plan,
        missing=missing,
        optarch=optarch(request.target, gcc),
        notes=_notes(request, plan, gcc),
    )


def _comparable(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _notes(request: BuildRequest, plan: BuildPlan, gcc: str) -> tuple[str, ...]:
    notes = []
    if optarch(request.target, gcc) != optarch(request.target):
        notes.append(
            f"GCC {gcc} is older than {request.target}: the code is compiled with {optarch(request.target, gcc)}, "
            f"not with {optarch(request.target)}"
        )
    for path in request.easystacks:
        wanted = read_easystack(path).easybuild
        if wanted and wanted != plan.easybuild:
            notes.append(f"{path.name} asks for EasyBuild {wanted}, this is {plan.easybuild}")
    return tuple(notes)


def run(
    prepared: PreparedBuild, listen: Listener = lambda _step: None, environment: Mapping[str, str] = os.environ
) -> BuildOutcome:
    """Build what is missing, mark catalogs, refresh Lmod's cache, and say what is to be published.

    Safe to kill: what was complete stays, what was not is removed by the next run. Raises Busy when somebody else
    builds into the tree, CommandFailed when an installation fails, MissingCapability and NotFound before anything
    is begun, InvalidValue for fixed paths that a layer has not, Interrupted on Ctrl-C. What was built on a layer and
    needs the host is held back: the outcome says so.
    """
    began = time.monotonic()
    layout, tree = prepared.layout, prepared.tree
    with tree.locked() as lock:
        tree.show_modules(layout)
        tree.remove_half_built(layout)
        missing = tuple(one for one in prepared.plan.installations if not tree.is_installed(layout, one.module))
        logs: tuple[Path, ...] = ()
        notes = list(prepared.notes)
        if missing:
            logs = _build(prepared, missing, listen, environment, lock)
        tree.mark_catalogs(layout)
        held = _held_back(prepared)
        with tree.without_modules(layout, held.problems):
            notes += _refresh_module_cache(prepared, environment)
        changes = _changes(prepared, held)
        notes += _notes_on_scripts(prepared, changes)
    names = {one.module for one in missing}
    return BuildOutcome(
        changes=changes,
        built=tuple(map(Installation.planned, missing)),
        skipped=tuple(Installation.planned(one) for one in prepared.plan.installations if one.module not in names),
        seconds=time.monotonic() - began,
        logs=logs,
        notes=tuple(notes),
        held_back=held,
    )


def _changes(prepared: PreparedBuild, held: HeldBack) -> ChangeSet:
    layout, tree = prepared.layout, prepared.tree
    present, published = units_in(tree.root, layout), tree.published.of(layout)
    return change_set(layout, tree.root, present, published, prepared.plan.installations, held.problems)


def _held_back(prepared: PreparedBuild) -> HeldBack:
    layer = layer_in(prepared.layout, prepared.tree.root)
    if layer is None:
        return HeldBack()
    return held_back(prepared.layout, layer, _changes(prepared, HeldBack()), prepared.request.stack.foreign)


def _notes_on_scripts(prepared: PreparedBuild, changes: ChangeSet) -> list[str]:
    if layer_in(prepared.layout, prepared.tree.root) is None:
        return []
    scripts = host_scripts(prepared.layout, changes, prepared.request.stack.foreign)
    return [told(scripts)] if scripts else []


def mark_published(prepared: PreparedBuild, changes: ChangeSet) -> None:
    """Remember that `changes` are published, so that the next change set leaves them out."""
    prepared.tree.published.add(prepared.layout, changes)


def _build(
    prepared: PreparedBuild,
    missing: Sequence[PlannedInstallation],
    listen: Listener,
    environment: Mapping[str, str],
    lock: int,
) -> tuple[Path, ...]:
    require_easybuild()
    layer = layer_below(prepared.layout, prepared.tree.root)
    if layer is None:
        require_lmod(environment)
    _require_sources(prepared, missing)
    view = _view(prepared, environment)
    if layer is not None:
        _show_easybuild(prepared.tree)
    runs = []
    for number, path in enumerate(prepared.request.easystacks):
        easystack = read_easystack(path)
        named = {item.easyconfig for item in easystack.items}
        if any(item.options for item in easystack.items) and any(one.easyconfig.name in named for one in missing):
            runs.append((path.stem, ["--easystack", str(view.places.easystacks[number])]))
    # Everything without options of its own goes in one run. Naming what is missing, and not the easystacks, also brings
    # back a dependency of something that is installed.
    runs.append(("missing", []))
    variables = build_environment(view, environment, layer) | build_variables(_settings(prepared, view, layer))
    python = layer.python if layer is not None else sys.executable
    logs: list[Path] = []
    done = 0
    for label, arguments in runs:
        names = [one.easyconfig.name for one in missing if not prepared.tree.is_installed(prepared.layout, one.module)]
        if not names:
            break
        log = _log_path(prepared.tree, label)
        one_run = EasyBuildRun(prepared.tree, view, variables, log, lock, python, len(missing), listen, done)
        one_run.execute(arguments or names)
        done = one_run.done
        logs.append(log)
    absent = [one.module for one in missing if not prepared.tree.is_installed(prepared.layout, one.module)]
    if absent:
        raise CommandFailed(
            what="the build",
            problem=f"EasyBuild ended well but did not install {', '.join(absent)}",
            hint=f"see {logs[-1]}",
        )
    return tuple(logs)


def _show_easybuild(tree: BuildTree) -> None:
    """Lets the layer's Python find EasyBuild, and no other package of ours."""
    try:
        (tree.scratch / _PACKAGES).mkdir(exist_ok=True)
        (tree.scratch / _PACKAGES / "easybuild").symlink_to(easybuild_package())
    except OSError as error:
        raise storage_error(error) from error


def _settings(prepared: PreparedBuild, view: BuildView, layer: LayerBelow | None) -> BuildSettings:
    layout, places = prepared.layout, view.places
    return BuildSettings(
        installpath=layout.final,
        scratch=places.scratch,
        sourcepath=places.mirror,
        easyconfigs=places.easyconfigs,
        hooks=places.hooks,
        reprod=layout.mount_point / layout.reprod,
        events=places.events,
        optarch=prepared.optarch,
        filter_dependencies=prepared.request.stack.filter_dependencies,
        parallel=prepared.request.jobs,
        sysroot=layer.prefix if layer is not None else None,
        stock_easyconfigs=easyconfig_directories() if layer is not None else (),
    )


def _require_sources(prepared: PreparedBuild, missing: Sequence[PlannedInstallation]) -> None:
    files = survey((file for one in missing for file in one.files), prepared.request.mirror)
    absent = [file for file in files if file.must_be_fetched]
    if absent:
        names = ", ".join(f"{file.wanted.shelf}/{file.wanted.name}" for file in absent)
        command = shlex.join(map(str, ("--mirror", prepared.request.mirror, *prepared.request.easystacks)))
        raise NotFound(
            what=f"{names} in the mirror {prepared.request.mirror}",
            hint=f"`outcrop sources fetch {command}` gets it",
        )


def _view(prepared: PreparedBuild, environment: Mapping[str, str]) -> BuildView:
    tree, mirror = prepared.tree, prepared.request.mirror.absolute()
    tree.empty_scratch()
    try:
        mirror.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error) from error
    easystacks = tuple(path.absolute() for path in prepared.request.easystacks)
    find_program = partial(shutil.which, path=environment.get("PATH"))
    layer = layer_below(prepared.layout, tree.root)
    fixed = prepared.request.stack.fixed_paths
    view = choose_view(prepared.layout, tree, mirror, prepared.easyconfigs, easystacks, find_program, layer, fixed)
    for place in (view.places.home, view.places.temporary):
        view.on_host(tree, str(place)).mkdir(parents=True, exist_ok=True)
    return view


def _log_path(tree: BuildTree, label: str) -> Path:
    return tree.logs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{label}.log"


def build_environment(
    view: BuildView, environment: Mapping[str, str], layer: LayerBelow | None = None
) -> dict[str, str]:
    """The environment of everything that runs in a build: the programs and Lmod of the `layer`; without one, this
    Python's programs first, and Lmod where it is."""
    places = view.places
    if layer is not None:
        return clean_environment(environment, layer.program_directories, places.home, places.temporary) | {
            "SHELL": layer.shell,
            "LMOD_CMD": str(layer.lmod / "lmod"),
            "EPREFIX": str(layer.prefix),
            "PYTHONPATH": str(places.scratch / _PACKAGES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "EB_SCRIPT_PATH": str(easybuild_command()),
        }
    ours = [str(Path(sys.executable).parent), *PROGRAM_DIRECTORIES]
    variables = clean_environment(environment, ours, places.home, places.temporary)
    libexec = find_lmod(environment)
    if libexec is not None:
        variables["LMOD_CMD"] = str(libexec / "lmod")
    return variables


def _refresh_module_cache(prepared: PreparedBuild, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Write Lmod's cache and the configuration that names it; what is missing for it is told, not raised."""
    layout, tree = prepared.layout, prepared.tree
    directory = tree.root / layout.lmod
    rc_file = directory / "lmodrc.lua"
    if not _cache_is_stale(tree.root / layout.modules, rc_file):
        return ()
    try:
        layer = layer_below(layout, tree.root)
        libexec = Path(layer.lmod) if layer is not None else require_lmod(environment)
        view = _view(prepared, environment)
        (directory / "cache").mkdir(parents=True, exist_ok=True)
        variables = build_environment(view, environment, layer)
        answer = subprocess.run(
            view.command_line(cache_command(libexec, layout), variables),
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            said = (answer.stderr.strip() or f"exit code {answer.returncode}").splitlines()[-1]
            return (f"Lmod's cache could not be written: {said}",)
        rc_file.write_text(render_lmodrc([layout.final]), encoding="utf-8")
    except MissingCapability as error:
        return (f"without a module cache: {error.message}",)
    except OSError as error:
        raise storage_error(error) from error
    return ()


def _cache_is_stale(modules: Path, rc_file: Path) -> bool:
    """Whether a module came or went after the cache was complete, which the configuration's file marks."""
    if not modules.is_dir():
        return False
    if not rc_file.is_file():
        return True
    newest = max(path.stat().st_mtime_ns for path in (modules, *modules.rglob("*")))
    return newest >= rc_file.stat().st_mtime_ns
