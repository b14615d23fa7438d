"""`outcrop compat update`: a new lock that changes only what must change."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.compat_audit import TRACKER
from outcrop.cli.compat_options import chosen_archive, chosen_packages, mirror_options
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.audit.advisories import Severity, State, audit
from outcrop.compat.audit.feed import read_advisories
from outcrop.compat.debian.archive import read_release, suites_of
from outcrop.compat.family import family_named
from outcrop.compat.lock import Lock, read_lock, write_lock
from outcrop.compat.record import recorded_lock
from outcrop.compat.update import LIBC_SOURCE, Update, update_lock
from outcrop.directories import cache_directory
from outcrop.errors import InvalidValue
from outcrop.software.sources.download import Downloads


@click.command(
    name="update",
    epilog=examples(
        "outcrop compat update --security --lock new.json versions/2026.06/compat/linux/x86_64",
        "outcrop compat update --source openssl --lock new.json old.json",
        "outcrop compat update --security --dry-run layer.json          # what would change",
    ),
)
@click.argument("layer", type=click.Path(path_type=Path, exists=True), metavar="LAYER|LOCK")
@click.option("--security", is_flag=True, help="Update every source package with a known fault that can be mended.")
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="Update this source package. May be given again."
)
@click.option(
    "--advisories",
    metavar="FILE|URL",
    help="With --security: the data of Debian's security tracker; by default what its server has.",
)
@click.option("--lock", type=click.Path(path_type=Path, dir_okay=False), help="Where the new lock goes.")
@click.option("--allow-libc", is_flag=True, help="Update the C library, too, below programs that run.")
@mirror_options
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    layer: Path,
    security: bool,
    sources: tuple[str, ...],
    advisories: str | None,
    lock: Path | None,
    allow_libc: bool,
    debian_mirrors: tuple[str, ...],
    mirror: Path | None,
    keyring: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a lock with the packages that mend faults.

    LAYER is a layer's directory, or a lock. The new lock differs from the old one in the packages that are updated, and
    in what these cannot do without; everything else keeps its version. `outcrop compat build --lock` builds it.
    """
    if not (security or sources):
        raise click.UsageError("say what to update: --security, or --source NAME.")
    if lock is None and not dry_run:
        raise click.UsageError("say where the new lock goes: --lock FILE (or --dry-run).")
    old = read_lock(layer) if layer.is_file() else recorded_lock(Path(os.path.realpath(layer)))
    faulty = _faulty(old, advisories or TRACKER) if security else set()
    if LIBC_SOURCE in faulty - set(sources) and not allow_libc:
        faulty.discard(LIBC_SOURCE)
        console.warning("the C library has faults that can be mended; it stays as it is without `--allow-libc`")
    wanted = {*sources, *faulty}
    unknown = wanted - {package.source for package in old.packages}
    if unknown:
        raise InvalidValue(
            what=f"the source package {min(unknown)}", problem="is not in the lock", hint="check its name"
        )
    archive = chosen_archive(chosen_packages(mirror), debian_mirrors, keyring)
    suites = tuple(suite.suite for suite in old.suites) or suites_of(old.release)
    architecture = family_named(old.family).debian
    metadata = read_release(archive, old.release, suites, architecture, datetime.now(UTC), console.progress())
    update = update_lock(old, metadata, wanted, allow_libc=allow_libc)
    if lock is not None and not dry_run:
        write_lock(update.lock, lock)
    _show(console, update, None if dry_run else lock, as_json)


def _faulty(lock: Lock, advisories: str) -> set[str]:
    """The source packages of `lock` with a fault that counts and can be mended."""
    found = audit(lock, read_advisories(advisories, Downloads(cache_directory() / "partial")), advisories)
    return {one.source for one in found if one.state is State.FIXABLE and one.severity is not Severity.UNIMPORTANT}


def _show(console: Console, update: Update, lock: Path | None, as_json: bool) -> None:
    if as_json:
        console.json(
            {
                "lock": str(lock) if lock else None,
                "changes": [
                    {
                        "name": one.name,
                        "source": one.source,
                        "before": one.before,
                        "after": one.after,
                        "reason": one.reason,
                    }
                    for one in update.changes
                ],
            }
        )
        return
    if update.changes:
        console.table(
            ("PACKAGE", "FROM", "TO", "WHY"),
            [(one.name, one.before or "-", one.after, one.reason) for one in update.changes],
        )
    console.note(
        f"{counted(len(update.changes), 'package')} of {len(update.lock.packages):,} would change"
        if lock is None
        else f"{counted(len(update.changes), 'package')} of {len(update.lock.packages):,} changed, in {lock}"
    )
