"""All checks of one layer, in an order in which the cheap ones come first."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from outcrop.compat.gentoo.lock import GentooLock
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import Lock
from outcrop.compat.package_sets import HostLink
from outcrop.compat.record import recorded_redirections
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.verify import contents
from outcrop.compat.verify.choices import Choice
from outcrop.compat.verify.instructions import instructions
from outcrop.compat.verify.isolation import Roots, nothing_of_the_host, run_jobs
from outcrop.compat.verify.jobs import JOBS, Job
from outcrop.compat.verify.locales import declared_locales
from outcrop.compat.verify.oldest import emulated, jobs_run, programs_start
from outcrop.compat.verify.packages import wanted_atoms, wanted_packages
from outcrop.compat.verify.programs import all_start, wanted_programs
from outcrop.compat.verify.redirected import site_redirects
from outcrop.compat.verify.report import Checked, Finding, Report, Result, checked
from outcrop.compat.verify.shown import show_as_client, show_shared
from outcrop.errors import MissingCapability
from outcrop.scratch import scratch_directory
from outcrop.strace.run import Tracer, find_tracer

_ODD_ENVIRONMENT = {"LC_ALL": "xx_YY.UTF-9", "LANG": "rubbish", "TERM": "nothing", "ENV": "/etc/profile"}


@dataclass(frozen=True, slots=True)
class Verification:
    """The layer `tree` (a directory on this machine), what its prefix is, its lock, which packages (atoms, for Gentoo)
    and programs its sets name, which of its paths are the host's, which of its files choose instructions when they
    run, the sets of its lock that are `undeclared`, and its declared locales."""

    tree: Path
    layout: LayerLayout
    lock: Lock | GentooLock
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    host_links: tuple[HostLink, ...]
    choices: tuple[Choice, ...] = ()
    build_places: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()


def verify_layer(layer: Verification, told: Callable[[Result], None] = lambda _: None) -> Report:
    """Makes all checks; `told` hears each result when it is there. NotFound for what is no layer; MissingCapability
    where this machine cannot run it in a root of its own; StorageError."""
    report = Report()

    def check(name: str, look: Callable[[], Checked]) -> None:
        told(report.add(name, look))

    tree = layer.tree
    check("the files of the record", lambda: contents.recorded_files(tree))
    check("permissions", lambda: contents.permissions(tree))
    check("links", lambda: contents.links(tree, _prefix_in_links(layer)))
    check("paths of the build machine", lambda: contents.build_machine_paths(tree, layer.build_places))
    check("packages", lambda: _packages(layer))
    check("programs that sets name", lambda: wanted_programs(tree, layer.programs))
    workers = len(os.sched_getaffinity(0))
    # Forks, so it comes before anything that has threads.
    check("instructions", lambda: instructions(tree, layer.layout.family, layer.choices, workers))
    with scratch_directory("verify") as scratch:
        shown, shared = scratch.directory / "layer", scratch.directory / "shared"
        show_as_client(tree, shown)
        links = recorded_redirections(tree)
        if links is not None:
            show_shared(links.shared, shared)
        root = sealed_root(layer.layout, shown, shared=shared if links is not None else None)
        roots = Roots(root, scratch.directory, tuple(link.host for link in layer.host_links), _tracer())
        check("programs start in an empty root", lambda: all_start(root))
        check("locales", lambda: declared_locales(root, layer.locales))
        check("jobs in a root with accounts", lambda: run_jobs(roots.with_accounts()))
        check("redirection by a site", lambda: site_redirects(root, links, scratch.directory / "site"))
        check("programs start on a hostile host", lambda: all_start(_odd(roots.hostile())))
        check("jobs on a hostile host", lambda: run_jobs(roots.hostile(), _without_accounts(), _ODD_ENVIRONMENT))
        check("programs start beside musl", lambda: _beside_musl(roots, all_start))
        check("jobs beside musl", lambda: _beside_musl(roots, run_jobs))
        together = {"nothing of the host": lambda: _traced(roots), **_oldest(roots, workers)}
        for result in report.add_together(together):
            told(result)
    return report


def _prefix_in_links(layer: Verification) -> PurePosixPath | None:
    return layer.layout.prefix if isinstance(layer.lock, GentooLock) else None


def _packages(layer: Verification) -> Checked:
    if isinstance(layer.lock, GentooLock):
        return wanted_atoms(layer.tree, layer.layout.prefix, layer.lock, layer.packages, layer.undeclared)
    return wanted_packages(layer.tree, layer.lock, layer.packages, layer.undeclared)


def _oldest(roots: Roots, workers: int) -> dict[str, Callable[[], Checked]]:
    """What is run on the oldest processor of this machine's own family. All of another one's is, anyway."""
    if roots.root.qemu is not None:
        return {}
    names = ("programs start on the oldest processor", "jobs on the oldest processor")
    found = emulated(roots.root, roots.directory / "oldest")
    if isinstance(found, str):
        return dict.fromkeys(names, lambda: checked(0, (), [Finding("the oldest processor", found)]))
    looks = (lambda: programs_start(found, workers), lambda: jobs_run(replace(roots, root=found), workers))
    return dict(zip(names, looks, strict=True))


def _odd(root: SealedRoot) -> SealedRoot:
    return replace(root, extra_environment=_ODD_ENVIRONMENT)


def _without_accounts() -> list[Job]:
    return [job for job in JOBS if not job.user]


def _beside_musl(roots: Roots, look: Callable[[SealedRoot], Checked]) -> Checked:
    try:
        root = roots.with_musl()
    except MissingCapability as error:
        return checked(0, (), [Finding("musl", error.message)])
    return look(root)


def _tracer() -> Tracer | None:
    try:
        return find_tracer()
    except MissingCapability:
        return None


def _traced(roots: Roots) -> Checked:
    if roots.tracer is None:
        return checked(0, (), [Finding("tracing", "strace is not installed, or not allowed")])
    return nothing_of_the_host(roots)
