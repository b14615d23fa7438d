"""A layer that Gentoo Prefix builds at its prefix, stage by stage, and that then is put in place like any other.

The order is EESSI's: configuration and ebuilds, the bootstrap script up to a prefix that builds itself, overlays and
settings, the sets, the loader's directories, what was only needed for building taken away, links to the host last.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from outcrop.compat.build import BuildPlace, BuiltLayer, prepared_place
from outcrop.compat.changelog import UNTOLD, Occasion
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.exchange import move_into_place
from outcrop.compat.gentoo.commands import RESUME_HINT, Commands, ways_out
from outcrop.compat.gentoo.inputs import fetch_bootstrap
from outcrop.compat.gentoo.installed import package_list
from outcrop.compat.gentoo.lock import GentooLock, read_lock, render_lock, require_same_results
from outcrop.compat.gentoo.prefix_stages import PrefixBuild
from outcrop.compat.gentoo.resume import BuildState, begun, finished, read_state, where_to_go_on, write_state
from outcrop.compat.gentoo.settings import pinned_bootstrap
from outcrop.compat.gentoo.workplace import SCRIPT, Workplace, open_workplace, remove_directory, workplace_of
from outcrop.compat.layout import RECORDS
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.record import BuildLog, following, write_record
from outcrop.compat.redirection import redirections
from outcrop.compat.shared_links import lay_links
from outcrop.errors import Interrupted, InvalidValue
from outcrop.progress import SILENT, Progress

_TOOLS = ("bwrap", "bash", "gcc", "git", "tar")


def build_prefix(
    place: BuildPlace,
    lock: GentooLock,
    description: LayerDescription,
    mirror: PackageMirror,
    progress: Progress = SILENT,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    environment: Mapping[str, str] = os.environ,
    occasion: Occasion = UNTOLD,
) -> BuiltLayer:
    """Builds the layer of `lock` at `place`, or goes on with a build that was stopped.

    AlreadyExists where a layer is there; Busy where somebody builds it; InvalidValue for another machine's family and
    for results that `lock` does not name; NetworkError, IntegrityError, StorageError, MissingCapability; CommandFailed
    where the script or Portage fails, Interrupted: then the same call goes on from there."""
    family = place.layout.family.name
    if family != platform.machine():
        raise InvalidValue(
            what=f"a layer for {family}",
            problem=f"cannot be built on {platform.machine()}: Gentoo Prefix runs what it builds",
            hint="build on such a machine, or with the back end `debian`",
        )
    with prepared_place(place), open_workplace(workplace_of(place.tree)) as work:
        occasion = following(occasion, place.tree)
        further = ways_out(description.gentoo.mirrors, environment)
        commands = Commands(place.layout, work, not lock.source_archives, further)
        build = PrefixBuild(place.layout, description, lock, work, mirror, commands, progress)
        try:
            commands.require_view()
            state = _do_stages(build, progress, clock)
            results = read_lock(work.results)
            require_same_results(lock, results)
            log = BuildLog([f"{mark.finished} {mark.stage}" for mark in state.marks])
            log.say(clock(), f"{len(results.installed)} packages of {lock.release} for {family}")
            remove_directory(work.tree / RECORDS)
            record = write_record(
                work.tree,
                place.layout,
                clock(),
                render_lock(results),
                description,
                (),
                log,
                [[tool, "--version"] for tool in _TOOLS if shutil.which(tool)],
                {
                    "installed.txt": package_list(results.installed).encode(),
                    SCRIPT: fetch_bootstrap(pinned_bootstrap(description.gentoo), mirror).read_bytes(),
                },
                occasion,
            )
            record = record.relative_to(work.tree)
            lay_links(place.destination, redirections(place.layout, description).targets())
            # An exchange would leave the old layer in the workplace, where the next build would go on with it.
            move_into_place(work.tree, place.tree)
        except KeyboardInterrupt:
            raise Interrupted(hint=RESUME_HINT) from None
        remove_directory(work.directory)
    return BuiltLayer(place.tree, place.tree / record, (), occasion)


def _do_stages(build: PrefixBuild, progress: Progress, clock: Callable[[], datetime]) -> BuildState:
    steps, work = build.steps(), build.work
    # Without a tree, a state is what was left by a build that was killed just after its layer was in place.
    state = read_state(work.state) if any(work.tree.iterdir()) else BuildState()
    first = where_to_go_on([stage for stage, _ in steps], state).first
    if first == 0:
        _begin_anew(work)
    progress.start(f"Building {build.lock.release}", total=len(steps) - first, unit="steps")
    for number, (stage, do) in enumerate(steps[first:], start=first):
        state = begun(state, number, stage)
        write_state(work.state, state)
        do()
        state = finished(state, f"{clock():%Y-%m-%dT%H:%M:%SZ}")
        write_state(work.state, state)
        progress.advance(1, stage.name)
    progress.finish()
    return state


def _begin_anew(work: Workplace) -> None:
    """Nothing of an earlier build stays. The state goes first: a tree without one is not gone on with."""
    for place in (work.state, work.tree, work.temporary, work.results, work.log("any").parent):
        remove_directory(place)
    for directory in (work.tree, work.temporary, work.log("any").parent):
        directory.mkdir()
