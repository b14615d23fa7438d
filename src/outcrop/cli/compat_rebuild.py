"""`outcrop compat rebuild`: build a layer from its lock once more, without a network, and compare."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.compat_gentoo import Rebuilt, gentoo_lock, rebuild
from outcrop.cli.compat_options import chosen_description, chosen_packages, packages_option, sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.delivered import as_stored, declared_links
from outcrop.compat.gentoo.lock import read_lock as read_gentoo_lock
from outcrop.compat.lock import read_lock
from outcrop.compat.record import (
    Difference,
    differences,
    digests,
    recorded_layout,
    recorded_lock,
    recorded_origin,
)
from outcrop.errors import InvalidValue

_SHOWN = 20


@click.command(
    name="rebuild",
    epilog=examples(
        "outcrop compat rebuild versions/2026.06/compat/linux/x86_64 --tree /tmp/again",
        "outcrop compat rebuild --lock layer.json versions/2026.06/compat/linux/x86_64 --tree /tmp/again",
    ),
)
@click.argument("path", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The lock to build from, instead of the layer's own.",
)
@click.option(
    "--tree",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory that takes the files.",
)
@sets_option
@packages_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    path: Path,
    lock: Path | None,
    tree: Path,
    stack_directory: Path | None,
    mirror: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a layer once more from its lock, and compare.

    Nothing is asked of a network: all packages must be in the mirror. Every file is compared with that of the layer at
    PATH; records are left out, since they tell when a layer was built, as are the few files in which Portage writes
    that down. A layer of Gentoo Prefix is compiled once more, which takes hours.
    """
    old = Path(os.path.realpath(path))
    place = BuildPlace(recorded_layout(old), tree.absolute())
    if recorded_origin(old).back_end:
        sources = read_gentoo_lock(lock) if lock else gentoo_lock(old)
        if dry_run:
            _show_plan(console, place, sources.release, len(sources.atoms), "atom", as_json=as_json)
            return
        description, packages = chosen_description(stack_directory), chosen_packages(mirror, offline=True)
        rebuilt = rebuild(old, place, sources, description, packages, console.progress())
        _show(console, old, rebuilt, as_json=as_json)
        return
    exact = read_lock(lock) if lock else recorded_lock(old)
    if dry_run:
        _show_plan(console, place, exact.release, len(exact.packages), "package", as_json=as_json)
        return
    files = fetch_packages(exact, chosen_packages(mirror, offline=True), (), console.progress())
    built = build_layer(place, exact, chosen_description(stack_directory), files, console.progress())
    before = as_stored(digests(old), declared_links(old) or {})
    different = differences(before, digests(built.tree))
    _show(console, old, Rebuilt(built.tree, len(before), different, ()), as_json=as_json)


def _show_plan(console: Console, place: BuildPlace, release: str, number: int, unit: str, *, as_json: bool) -> None:
    if as_json:
        console.json({"tree": str(place.tree), "packages": number})
    else:
        console.result(f"{place.tree}: {counted(number, unit)} of {release}")


def _show(console: Console, old: Path, rebuilt: Rebuilt, *, as_json: bool) -> None:
    """Tells what differs; InvalidValue where anything does that should not."""
    if as_json:
        console.json(
            {
                "tree": str(rebuilt.tree),
                "compared": rebuilt.compared,
                "differences": [_document(one) for one in rebuilt.different],
                "expected": [_document(one) for one in rebuilt.expected],
            }
        )
    else:
        for one in rebuilt.different[:_SHOWN]:
            console.warning(f"{one.path} differs")
        if rebuilt.expected:
            console.note(f"{counted(len(rebuilt.expected), 'path')} of Portage's tell when the layer was built")
        number = counted(len(rebuilt.different), "difference")
        console.result(f"{rebuilt.tree}: {rebuilt.compared:,} paths compared, {number}")
    if rebuilt.different:
        raise InvalidValue(
            what=str(rebuilt.tree),
            problem=f"is not the same as {old}",
            hint="`diff -r` shows how; the sets or this Outcrop may not be those of the first build",
        )


def _document(one: Difference) -> dict[str, str]:
    return {"path": one.path, "before": one.before, "after": one.after}
