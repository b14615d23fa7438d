"""`outcrop compat build`: build a compatibility layer."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli import compat_gentoo
from outcrop.cli.compat_options import (
    chosen_archive,
    chosen_family,
    chosen_layer,
    chosen_packages,
    mirror_options,
    occasion_options,
    set_options,
    stack_options,
    tell_put_back,
)
from outcrop.cli.compat_since import since_document, tell_since
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.back_end import BackEnd, back_end_of
from outcrop.compat.build import BuildPlace, BuiltLayer, build_layer, fetch_packages
from outcrop.compat.changelog import Occasion
from outcrop.compat.debian.archive import archive_addresses
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import Lock, read_lock
from outcrop.compat.plan import plan_layer, require_fit
from outcrop.compat.record import earlier_layer
from outcrop.compat.sealed_root import sealed_root
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue

TREES_DIRECTORY = "trees"


@click.command(
    name="build",
    epilog=examples(
        "outcrop compat build --repository software.example.org --version 2026.06",
        "outcrop compat build --with compilers --tree /data/software.example.org",
        "outcrop compat build --family aarch64 --lock layer.json  # just what the lock names",
    ),
)
@click.option("--family", metavar="F", help="The family to build for, by default this machine's.")
@set_options
@stack_options
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Build what this lock names, instead of what the release has now.",
)
@click.option(
    "--tree",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory that takes the files, by default in the data directory.",
)
@click.option("--replace", "replace_old", is_flag=True, help="Build anew a layer that is there already.")
@occasion_options
@mirror_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    family: str | None,
    with_sets: tuple[str, ...],
    release: str | None,
    stack_directory: Path | None,
    repository: str | None,
    version: str | None,
    lock: Path | None,
    tree: Path | None,
    replace_old: bool,
    author: str,
    message: str,
    since: Path | None,
    debian_mirrors: tuple[str, ...],
    mirror: Path | None,
    keyring: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a compatibility layer for one family.

    Packages are resolved, fetched, verified, unpacked and moved to the prefix that users see; no script of a package
    is run. The layer appears below the tree when it is whole. A build that was stopped goes on with what was fetched.
    The changelog in its record says what is new against the layer that it replaces, and nothing of account and machine.
    """
    layer = chosen_layer(stack_directory, repository, version)
    description = layer.description
    layout = layer.layout(chosen_family(family))
    destination = (tree or data_directory() / TREES_DIRECTORY / layout.repository).absolute()
    place = BuildPlace(layout, destination, replace_old)
    archives = archive_addresses(debian_mirrors)
    earlier = earlier_layer(Path(os.path.realpath(since))) if since else None
    occasion = Occasion(author or layer.stack.maintainer, message, earlier, archives)
    packages = chosen_packages(mirror)
    if not dry_run:
        tell_put_back(console, place.tree)
    if back_end_of(description) is BackEnd.GENTOO_PREFIX:
        compat_gentoo.refuse_release(release)
        compat_gentoo.build(
            console, place, description, with_sets, lock, packages, occasion, dry_run=dry_run, as_json=as_json
        )
        return
    if release:
        description = replace(description, release=release, suites=())
    if lock is not None:
        exact = read_lock(lock)
        _require_asked_for(exact, layout, release)
        require_fit(exact, description, layout.family, with_sets, str(lock))
    else:
        archive = chosen_archive(packages, debian_mirrors, keyring)
        now = datetime.now(UTC)
        exact = plan_layer(description, layout.family, with_sets, archive, now, console.progress()).lock
    if dry_run:
        _show_plan(console, place, exact, as_json)
        return
    sealed_root(layout, place.tree)  # what is missing is told before anything is fetched
    started = time.monotonic()
    files = fetch_packages(exact, packages, archives, console.progress())
    built = build_layer(place, exact, description, files, console.progress(), occasion=occasion)
    warn_of_refused(console, built)
    _show(console, layout, exact, built, time.monotonic() - started, as_json)


def _require_asked_for(lock: Lock, layout: LayerLayout, release: str | None) -> None:
    """InvalidValue where `lock` is for another family or release than were asked for."""
    if lock.family != layout.family.name:
        raise InvalidValue(
            what="the lock",
            problem=f"is for {lock.family}, not for {layout.family.name}",
            hint=f"add `--family {lock.family}`",
        )
    if release and release != lock.release:
        raise InvalidValue(
            what="the lock",
            problem=f"is of {lock.release}, not of {release}",
            hint=f"leave `--release` out; or lock that: `outcrop compat plan --release {release} --lock FILE`",
        )


def _show_plan(console: Console, place: BuildPlace, lock: Lock, as_json: bool) -> None:
    if as_json:
        console.json({"prefix": str(place.layout.prefix), "tree": str(place.tree), "packages": len(lock.packages)})
        return
    console.result(
        f"{place.tree}: {counted(len(lock.packages), 'package')} of {lock.release} for {place.layout.prefix}"
    )


def warn_of_refused(console: Console, built: BuiltLayer) -> None:
    """Names the programs that could not be moved to the prefix, and what scripts of packages would have done."""
    for one in built.changes:
        if one.refused:
            console.warning(f"{one.path} keeps the host's loader and paths: {one.refused}")
    if built.undone:
        told = ", ".join(f"{name} ({' '.join(commands)})" for name, commands in _undone_commands(built).items())
        console.warning(
            f"scripts of {counted(len(built.undone), 'package')} would do what is not done: {told}; `build.log` of the "
            "record says it in full, and `scripts.toml` of the stack declares what does no harm"
        )


def _undone_commands(built: BuiltLayer) -> dict[str, list[str]]:
    """The commands of the packages' scripts that were not done, each once."""
    return {name: list(dict.fromkeys(one.command for one in several)) for name, several in built.undone.items()}


def _show(console: Console, layout: LayerLayout, lock: Lock, built: BuiltLayer, seconds: float, as_json: bool) -> None:
    if as_json:
        console.json(
            {
                "prefix": str(layout.prefix),
                "tree": str(built.tree),
                "record": str(built.record),
                "packages": len(lock.packages),
                "changed": len(built.changes),
                "not_done": _undone_commands(built),
                **since_document(built),
                "seconds": round(seconds, 1),
            }
        )
        return
    console.note(
        f"{counted(len(lock.packages), 'package')} of {lock.release}, "
        f"{counted(len(built.changes), 'file')} moved to {layout.prefix}, in {seconds:.0f} s"
    )
    tell_since(console, built)
    console.result(str(built.tree))
