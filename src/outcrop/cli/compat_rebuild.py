"""`outcrop compat rebuild`: build a layer from its lock once more, without a network, and compare."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.compat_options import chosen_description, chosen_packages, packages_option, sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.delivered import as_stored, declared_links
from outcrop.compat.lock import read_lock
from outcrop.compat.record import differences, digests, recorded_layout, recorded_lock
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
    PATH; records are left out, since they tell when a layer was built.
    """
    old = Path(os.path.realpath(path))
    exact = read_lock(lock) if lock else recorded_lock(old)
    place = BuildPlace(recorded_layout(old), tree.absolute())
    if dry_run:
        if as_json:
            console.json({"tree": str(place.tree), "packages": len(exact.packages)})
        else:
            console.result(f"{place.tree}: {counted(len(exact.packages), 'package')} of {exact.release}")
        return
    files = fetch_packages(exact, chosen_packages(mirror, offline=True), (), console.progress())
    built = build_layer(place, exact, chosen_description(stack_directory), files, console.progress())
    before = as_stored(digests(old), declared_links(old) or {})
    different = differences(before, digests(built.tree))
    if as_json:
        console.json(
            {
                "tree": str(built.tree),
                "compared": len(before),
                "differences": [{"path": one.path, "before": one.before, "after": one.after} for one in different],
            }
        )
    else:
        for one in different[:_SHOWN]:
            console.warning(f"{one.path} differs")
        console.result(f"{built.tree}: {len(before):,} paths compared, {counted(len(different), 'difference')}")
    if different:
        raise InvalidValue(
            what=str(built.tree),
            problem=f"is not the same as {old}",
            hint="`diff -r` shows how; the sets or this Outcrop may not be those of the first build",
        )
