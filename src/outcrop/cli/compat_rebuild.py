"""`outcrop compat rebuild`: build a layer from its lock once more, without a network, and compare."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.compat_gentoo import Rebuilt, rebuild
from outcrop.cli.compat_options import chosen_packages, declared_layer, packages_option, recorded_sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.gentoo.lock import read_lock as read_gentoo_lock
from outcrop.compat.lock import read_lock
from outcrop.compat.rebuild import Original, compared, original_layer, original_of_record
from outcrop.compat.record import LOCK_FILE, Difference, origin_in, require_record
from outcrop.errors import InvalidValue

_SHOWN = 20


@click.command(
    name="rebuild",
    epilog=examples(
        "outcrop compat rebuild versions/2026.06/compat/linux/x86_64 --tree /tmp/again",
        "outcrop compat rebuild --lock layer.json versions/2026.06/compat/linux/x86_64 --tree /tmp/again",
        "outcrop compat rebuild --lock reprod/20260615_123005UTC/lock.json --tree /tmp/again # a record is enough",
    ),
)
@click.argument("path", required=False, type=click.Path(path_type=Path, file_okay=False, exists=True))
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
@recorded_sets_option
@packages_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    path: Path | None,
    lock: Path | None,
    tree: Path,
    stack_directory: Path | None,
    mirror: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a layer once more from its lock, and compare.

    Nothing is asked of a network: all packages must be in the mirror. Sets and declarations are those of the layer's
    record. Every file is compared with that of the layer at PATH; records are left out, since they tell when a layer
    was built, as are the few files in which Portage writes that down. Without PATH the lock must be that of a record,
    whose digests are compared. A layer of Gentoo Prefix is compiled once more, which takes hours.
    """
    record, original = _original(path, lock)
    description = declared_layer(record, stack_directory)
    place = BuildPlace(original.layout, tree.absolute())
    if origin_in(record).back_end:
        sources = read_gentoo_lock(lock or record / LOCK_FILE)
        if dry_run:
            _show_plan(console, place, sources.release, len(sources.atoms), "atom", as_json=as_json)
            return
        packages = chosen_packages(mirror, offline=True)
        rebuilt = rebuild(original, place, sources, description, packages, console.progress())
        _show(console, path or lock, rebuilt, as_json=as_json)
        return
    exact = read_lock(lock or record / LOCK_FILE)
    if dry_run:
        _show_plan(console, place, exact.release, len(exact.packages), "package", as_json=as_json)
        return
    files = fetch_packages(exact, chosen_packages(mirror, offline=True), (), console.progress())
    built = build_layer(place, exact, description, files, console.progress())
    rebuilt = Rebuilt(built.tree, len(original.contents), compared(original, built.tree), ())
    _show(console, path or lock, rebuilt, as_json=as_json)


def _show_plan(console: Console, place: BuildPlace, release: str, number: int, unit: str, *, as_json: bool) -> None:
    if as_json:
        console.json({"tree": str(place.tree), "packages": number})
    else:
        console.result(f"{place.tree}: {counted(number, unit)} of {release}")


def _show(console: Console, old: Path | None, rebuilt: Rebuilt, *, as_json: bool) -> None:
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


def _original(path: Path | None, lock: Path | None) -> tuple[Path, Original]:
    """What is built again, and the directory of its record."""
    if path is not None:
        tree = Path(os.path.realpath(path))
        return require_record(tree), original_layer(tree)
    if lock is None:
        raise click.UsageError("say what to build again: PATH, or --lock FILE of a record.")
    return lock.absolute().parent, original_of_record(lock)


def _document(one: Difference) -> dict[str, str]:
    return {"path": one.path, "before": one.before, "after": one.after}
