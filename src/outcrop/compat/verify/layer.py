"""All checks of one layer, in an order in which the cheap ones come first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from outcrop.compat.gentoo.lock import GentooLock
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import Lock
from outcrop.compat.record import recorded_redirections
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.verify import contents
from outcrop.compat.verify.choices import Choice
from outcrop.compat.verify.elsewhere import Elsewhere
from outcrop.compat.verify.instructions import instructions, lacks_decoder
from outcrop.compat.verify.isolation import Roots, nothing_of_the_host, run_jobs
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.jobs import JOBS
from outcrop.compat.verify.libraries import libraries
from outcrop.compat.verify.locales import declared_locales
from outcrop.compat.verify.moved import moved_files
from outcrop.compat.verify.musl_root import has_musl
from outcrop.compat.verify.oldest import emulated, jobs_run, programs_start
from outcrop.compat.verify.packages import wanted_atoms, wanted_packages
from outcrop.compat.verify.programs import Expected, all_start, wanted_programs
from outcrop.compat.verify.redirected import site_redirects
from outcrop.compat.verify.report import Check, Checked, Means, Report, Result
from outcrop.compat.verify.shown import show_as_client, show_shared
from outcrop.errors import MissingCapability
from outcrop.scratch import scratch_directory
from outcrop.strace.run import find_tracer

_ODD_ENVIRONMENT = {"LC_ALL": "xx_YY.UTF-9", "LANG": "rubbish", "TERM": "nothing", "ENV": "/etc/profile"}


@dataclass(frozen=True, slots=True)
class Verification:
    """The layer `tree` (a directory on this machine), what its prefix is, its lock, which packages (atoms, for Gentoo)
    and programs its sets name, which paths of the host it asks for as they are, and which by links, which of its files
    choose instructions when they run, which find libraries that the loader does not, what would be of the machine that
    built it, its sets that are `undeclared`, and its locales. What needs one of `without` is not looked at. It is also
    tried beside each of `systems`, directories with the files of other systems."""

    tree: Path
    layout: LayerLayout
    lock: Lock | GentooLock
    packages: tuple[str, ...]
    programs: Expected
    host_paths: tuple[str, ...]
    linked_paths: tuple[str, ...]
    machine: contents.BuildMachine
    choices: tuple[Choice, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    without: frozenset[Means] = frozenset()
    undeclared: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    systems: tuple[Path, ...] = ()


def verify_layer(
    layer: Verification,
    told: Callable[[Result], None] = lambda _: None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Report:
    """Makes all checks whose names are `wanted`; `told` hears each result when it is there. NotFound for what is
    no layer; MissingCapability where this machine cannot run it in a root of its own; StorageError."""
    report = Report(layer.without)

    def check(name: str, look: Callable[[], Checked], *needs: Means) -> None:
        if wanted(name):
            told(report.add(Check(name, look, needs)))

    tree = layer.tree
    check("the files of the record", lambda: contents.recorded_files(tree))
    check("permissions", lambda: contents.permissions(tree))
    check("links", lambda: contents.links(tree, _prefix_in_links(layer)))
    check("paths of the build machine", lambda: contents.build_machine_paths(tree, layer.machine))
    check("packages", lambda: _packages(layer))
    check("programs that sets name", lambda: wanted_programs(tree, layer.programs))
    check("moved files", lambda: moved_files(tree))
    check("libraries", lambda: libraries(tree, layer.layout, layer.elsewhere))
    workers, family = len(os.sched_getaffinity(0)), layer.layout.family
    if lacks_decoder(family):
        report.lacking[Means.DECODER] = "`pip install outcrop[build]` brings this Python package"
    # Forks, so it comes before anything that has threads.
    check("instructions", lambda: instructions(tree, family, layer.choices, workers), Means.DECODER)
    with scratch_directory("verify") as scratch:
        shown, shared = scratch.directory / "layer", scratch.directory / "shared"
        show_as_client(tree, shown)
        links = recorded_redirections(tree)
        if links is not None:
            show_shared(links.shared, shared)
        root = sealed_root(layer.layout, shown, shared=shared if links is not None else None)
        roots = Roots(root, scratch.directory, layer.host_paths, layer.linked_paths)
        # Where QEMU runs everything, it must also run what a program starts.
        entered = (Means.QEMU,) if root.qemu is not None else ()
        if not root.children_too:
            report.lacking[Means.QEMU] = "this kernel does not let it run what programs start (Linux 6.7 does)"
        programs = layer.programs
        check("programs start in an empty root", lambda: all_start(root, programs))
        check("locales", lambda: declared_locales(root, layer.locales))
        check("jobs in an empty root", lambda: run_jobs(root, _jobs(user=False)), *entered)
        check("jobs that need accounts", lambda: run_jobs(roots.with_accounts(), _jobs(user=True)), *entered)
        check("redirection by a site", lambda: site_redirects(root, links, scratch.directory / "site"), *entered)
        check("programs start on a hostile host", lambda: all_start(_odd(roots.hostile()), programs))
        check(
            "jobs on a hostile host",
            lambda: run_jobs(roots.hostile(), _jobs(user=False), _ODD_ENVIRONMENT),
            *entered,
        )
        musl = _with_musl(roots, layer.systems, report)
        check("programs start beside musl", lambda: all_start(musl, programs), Means.MUSL)
        check("jobs beside musl", lambda: run_jobs(musl), Means.MUSL, *entered)
        for system in layer.systems:
            beside = roots.beside(system)
            if beside != musl:
                check(f"programs start beside {system}", partial(all_start, beside, programs))
                check(f"jobs beside {system}", partial(run_jobs, beside), *entered)
        together = [Check("nothing of the host", _traced(roots, programs, report), (Means.TRACER, *entered))]
        if root.qemu is None:  # all of another family's programs run on its oldest processor anyway
            looks = _oldest(roots, programs, workers, report)
            together += [Check(f"{name} on the oldest processor", look, (Means.QEMU,)) for name, look in looks.items()]
        for result in report.add_together(one for one in together if wanted(one.name)):
            told(result)
    return report


def _prefix_in_links(layer: Verification) -> PurePosixPath | None:
    return layer.layout.prefix if isinstance(layer.lock, GentooLock) else None


def _packages(layer: Verification) -> Checked:
    if isinstance(layer.lock, GentooLock):
        return wanted_atoms(layer.tree, layer.layout.prefix, layer.lock, layer.packages, layer.undeclared)
    return wanted_packages(layer.tree, layer.lock, layer.packages, layer.undeclared)


def _jobs(*, user: bool) -> list[Job]:
    return [job for job in JOBS if job.user is user]


def _odd(root: SealedRoot) -> SealedRoot:
    return replace(root, extra_environment=_ODD_ENVIRONMENT)


def _with_musl(roots: Roots, systems: Sequence[Path], report: Report) -> SealedRoot:
    """The root with musl, that of `systems` if one has it; the one without where it cannot be had, which `report` knows
    then."""
    if Means.MUSL in report.without:
        return roots.root
    family = roots.root.layout.family
    given = next((system for system in systems if has_musl(system, family)), None)
    try:
        return roots.with_musl() if given is None else roots.beside(given)
    except MissingCapability as error:
        report.lacking[Means.MUSL] = error.message
        return roots.root


def _traced(roots: Roots, programs: Expected, report: Report) -> Callable[[], Checked]:
    """What a tracer is asked for; nothing where there is none, which `report` knows then."""
    try:
        tracer = find_tracer()
    except MissingCapability as error:
        report.lacking[Means.TRACER] = error.message
        return lambda: Checked(0)
    return lambda: nothing_of_the_host(roots, tracer, programs)


def _oldest(roots: Roots, programs: Expected, workers: int, report: Report) -> dict[str, Callable[[], Checked]]:
    """What is run on the oldest processor; nothing where it cannot be had, which `report` knows then."""
    found = emulated(roots.root, roots.directory / "oldest") if Means.QEMU not in report.without else "is not wanted"
    if isinstance(found, str):
        report.lacking[Means.QEMU] = found
        return {"programs start": lambda: Checked(0), "jobs": lambda: Checked(0)}
    return {
        "programs start": lambda: programs_start(found, programs, workers),
        "jobs": lambda: jobs_run(replace(roots, root=found), workers),
    }
