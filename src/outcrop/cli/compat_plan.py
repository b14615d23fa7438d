"""`outcrop compat plan`: what a compatibility layer will be made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli import compat_gentoo
from outcrop.cli.compat_options import (
    chosen_archive,
    chosen_description,
    chosen_packages,
    mirror_options,
    set_options,
    sets_option,
)
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.back_end import BackEnd, back_end_of
from outcrop.compat.build import fetch_packages
from outcrop.compat.debian.licences import licences_of
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import FAMILIES, family_named, this_family
from outcrop.compat.lock import Lock, write_lock
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.plan import LayerPlan, family_differences, plan_layer
from outcrop.compat.wheels.wheel_file import read_wheel

_SHOWN_LICENCES = 3
_NAMES = tuple(family.name for family in FAMILIES)


@click.command(
    name="plan",
    epilog=examples(
        "outcrop compat plan                                      # for this machine's family",
        "outcrop compat plan --family x86_64 --family aarch64     # and what differs",
        "outcrop compat plan --with compilers --lock layer.json   # keep it, to build just this",
        "outcrop compat plan --licences --json                    # with the licences of all",
    ),
)
@click.option(
    "--family", "families", multiple=True, type=click.Choice(_NAMES), help="A family, by default this machine's."
)
@set_options
@sets_option
@click.option("--licences", is_flag=True, help="Fetch what is not here yet, so that the licences of all are told.")
@click.option("--lock", type=click.Path(path_type=Path, dir_okay=False), help="Write the lock of the one family there.")
@mirror_options
@json_option
@click.pass_obj
def command(
    console: Console,
    families: tuple[str, ...],
    with_sets: tuple[str, ...],
    release: str | None,
    stack_directory: Path | None,
    licences: bool,
    lock: Path | None,
    debian_mirrors: tuple[str, ...],
    mirror: Path | None,
    keyring: Path | None,
    as_json: bool,
) -> None:
    """Show what a compatibility layer will be made of.

    Sets are resolved against the release's signed metadata: every package with its version, its size and why it is
    there. Licences are in the packages themselves: without --licences, only those of packages that were fetched before
    are told. With several families: what differs.
    """
    chosen = [family_named(name) for name in families] or [this_family()]
    if lock is not None and len(chosen) != 1:
        raise click.UsageError("--lock is for one --family.")
    description = chosen_description(stack_directory)
    packages = chosen_packages(mirror)
    if back_end_of(description) is BackEnd.GENTOO_PREFIX:
        compat_gentoo.refuse_release(release)
        ebuilds = packages if licences else None
        compat_gentoo.show_plans(console, description, chosen, with_sets, lock, ebuilds, as_json=as_json)
        return
    if release:
        description = replace(description, release=release, suites=())
    archive = chosen_archive(packages, debian_mirrors, keyring)
    now = datetime.now(UTC)
    plans = [plan_layer(description, family, with_sets, archive, now, console.progress()) for family in chosen]
    if lock is not None:
        write_lock(plans[0].lock, lock)
    if licences:
        for plan in plans:
            fetch_packages(plan.lock, packages, archive.mirrors, console.progress())
    if as_json:
        console.json(
            {
                "release": description.release,
                "layers": [_document(plan, packages) for plan in plans],
                "drops": _omissions(description),
                "differences": [
                    {
                        "name": one.name,
                        "versions": {family: version or None for family, version in one.versions.items()},
                    }
                    for one in family_differences(plans)
                ],
            }
        )
        return
    for plan in plans:
        _show(console, plan, packages, all_fetched=licences)
    _show_omissions(console, description)
    if len(plans) > 1:
        _show_differences(console, plans)
    if lock is not None:
        console.note(f"the lock is in {lock}")


def _omissions(description: LayerDescription) -> list[dict[str, object]]:
    return [{"name": one.name, "reason": one.reason, "paths": list(one.paths)} for one in description.drops]


def _show_omissions(console: Console, description: LayerDescription) -> None:
    if description.drops:
        console.result("")
        console.table(("FILES LEFT OUT", "WHY"), [(one.name or one.paths[0], one.reason) for one in description.drops])


def _licences(plan: LayerPlan, packages: PackageMirror) -> dict[str, tuple[str, ...]]:
    """The licences of each package, by its name; none where they are not known."""
    return {one.name: licences_of(packages, one, plan.lock.packages) for one in plan.lock.packages}


def _document(plan: LayerPlan, packages: PackageMirror) -> dict[str, object]:
    licences = _licences(plan, packages)
    return {
        "family": plan.family.name,
        "sets": [one.name for one in plan.sets],
        "suites": [{"suite": one.suite, "version": one.version, "date": one.date} for one in plan.lock.suites],
        "left_out": list(plan.lock.left_out),
        "packages": [
            {
                "name": one.name,
                "version": one.version,
                "size": one.size,
                "installed": one.installed,
                "sha256": one.sha256,
                "reason": plan.reason(one),
                "ships": one.ships,
                "licences": list(licences[one.name]),
            }
            for one in plan.lock.packages
        ],
        "wheels": [
            {
                "name": one.name,
                "version": one.version,
                "file": one.file,
                "size": one.size,
                "sha256": one.sha256,
                "reason": plan.reason(one),
                "licences": list(read_wheel(packages.place(one.sha256), one.file).licences),
            }
            for one in plan.lock.wheels
        ],
        "unknown_licences": sum(not names for names in licences.values()),
        "size": _size(plan.lock),
        "installed": sum(one.installed for one in plan.shipped),
    }


def _show(console: Console, plan: LayerPlan, packages: PackageMirror, *, all_fetched: bool) -> None:
    licences = _licences(plan, packages)
    console.table(
        ("PACKAGE", "VERSION", "kB", "WHY", "LICENCES"),
        [
            (
                one.name,
                one.version,
                f"{one.installed // 1000:,}",
                plan.reason(one) + ("" if one.ships else " (only while building)"),
                _shortened(licences[one.name]),
            )
            for one in plan.lock.packages
        ],
    )
    if plan.lock.wheels:
        console.result("")
        console.table(
            ("WHEEL", "VERSION", "kB", "WHY", "LICENCES"),
            [
                (
                    one.name,
                    one.version,
                    f"{one.size // 1000:,}",
                    plan.reason(one),
                    _shortened(read_wheel(packages.place(one.sha256), one.file).licences),
                )
                for one in plan.lock.wheels
            ],
        )
    sets = ", ".join(one.name for one in plan.sets)
    console.note(f"{plan.family.name}: {plan.lock.release}, {sets}")
    console.note(
        f"{counted(len(plan.shipped), 'package')}{_and_wheels(plan.lock)}, {_size(plan.lock) / 1e6:,.0f} MB to fetch, "
        f"{sum(one.installed for one in plan.shipped) / 1e6:,.0f} MB unpacked before files are left out"
    )
    unknown = counted(sum(not names for names in licences.values()), "package")
    if all(licences.values()):
        return
    if all_fetched:
        console.note(f"{unknown} name no licence by a short name (?): usr/share/doc/PACKAGE/copyright has it in words")
    else:
        console.note(f"of {unknown} the licences are not known here (?): `--licences` fetches and reads them")


def _shortened(licences: Sequence[str]) -> str:
    shown = " ".join(licences[:_SHOWN_LICENCES]) or "?"
    return f"{shown} …" if len(licences) > _SHOWN_LICENCES else shown


def _size(lock: Lock) -> int:
    """The bytes to fetch."""
    return sum(one.size for one in lock.all)


def _and_wheels(lock: Lock) -> str:
    return f" and {counted(len(lock.wheels), 'wheel')}" if lock.wheels else ""


def _show_differences(console: Console, plans: Sequence[LayerPlan]) -> None:
    different = family_differences(plans)
    if not different:
        console.note("the families have the same packages in the same versions")
        return
    console.result("")
    console.table(
        ("ONLY IN SOME, OR OTHER VERSIONS", *(plan.family.name for plan in plans)),
        [(one.name, *(one.versions[plan.family.name] or "-" for plan in plans)) for one in different],
    )
