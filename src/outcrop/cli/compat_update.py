"""`outcrop compat update`: a new lock that changes only what must change, and the layer of it, published for tests."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from outcrop.cli.compat_audit import advisories_option, audit_lock
from outcrop.cli.compat_options import (
    chosen_archive,
    chosen_description,
    chosen_packages,
    declared_layer,
    mirror_options,
    recorded_sets_option,
)
from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import LayerPublishing, layer_publishing_options
from outcrop.cli.layer_update import UpdateOrder, changes_document, publish_update
from outcrop.cli.options import examples
from outcrop.cli.quantities import counted
from outcrop.cli.verification_view import without_option
from outcrop.compat.audit.faults import DEBIAN, State
from outcrop.compat.debian.archive import archive_addresses, read_release, suites_of
from outcrop.compat.family import family_named
from outcrop.compat.lock import Lock, read_lock, write_lock
from outcrop.compat.record import recorded_lock, require_record
from outcrop.compat.update import LIBC_SOURCE, Update, update_lock
from outcrop.compat.verify.report import Means
from outcrop.errors import InvalidValue

_OF_PUBLISHING = (
    "tree",
    "no_verify",
    "without",
    "stack_directory",
    "software",
    "allow_breaks",
    "message",
    "author",
    "reason",
)
"""Options that mean nothing where only a lock is made."""


@click.command(
    name="update",
    epilog=examples(
        "outcrop compat update --security --publish test.example.org versions/2026.06/compat/linux/x86_64",
        "outcrop compat update --source openssl --lock new.json old.json  # a lock, nothing else",
        "outcrop compat update --security --dry-run layer.json          # what would change",
    ),
)
@click.argument("layer", type=click.Path(path_type=Path, exists=True), metavar="LAYER|LOCK")
@click.option("--security", is_flag=True, help="Update every source package with a known fault that can be mended.")
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="Update this source package. May be given again."
)
@advisories_option
@click.option("--lock", type=click.Path(path_type=Path, dir_okay=False), help="Where the new lock goes.")
@click.option("--publish", metavar="FQRN", help="Build and verify the new layer, and publish it there, for tests.")
@click.option(
    "--tree",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --publish: where it is built, by default in the data directory.",
)
@click.option("--no-verify", is_flag=True, help="With --publish: without a proof that the layer is what it promises.")
@without_option
@recorded_sets_option
@mirror_options
@layer_publishing_options
@click.pass_obj
def command(
    console: Console,
    layer: Path,
    security: bool,
    sources: tuple[str, ...],
    advisories: tuple[str, ...],
    lock: Path | None,
    publish: str | None,
    tree: Path | None,
    no_verify: bool,
    without: frozenset[Means],
    stack_directory: Path | None,
    debian_mirrors: tuple[str, ...],
    mirror: Path | None,
    keyring: Path | None,
    publishing: LayerPublishing,
) -> None:
    """Mend faults: a new lock, or with --publish a new layer.

    LAYER is a layer's directory, or a lock. The new lock differs from the old one in the packages that are updated, and
    in what these cannot do without; everything else keeps its version. `outcrop compat build --lock` builds it.

    With --publish, the new layer is built, verified as `outcrop compat verify` does, compared with all that stands on
    the one that is published, and published in the repository for tests. What fails publishes nothing, and the same
    command goes on with what was fetched and built. `outcrop compat promote` brings it to users.
    """
    _require_sense(layer, lock, publish, wants_something=bool(security or sources), dry_run=publishing.dry_run)
    old_tree = Path(os.path.realpath(layer))
    old = read_lock(layer) if layer.is_file() else recorded_lock(old_tree)
    faulty = _faulty(old, advisories) if security else set()
    if LIBC_SOURCE in faulty - set(sources) and not publishing.allow_libc:
        faulty.discard(LIBC_SOURCE)
        console.warning("the C library has faults that can be mended; it stays as it is without `--allow-libc`")
    wanted = {*sources, *faulty}
    unknown = wanted - {package.source for package in old.packages}
    if unknown:
        raise InvalidValue(
            what=f"the source package {min(unknown)}", problem="is not in the lock", hint="check its name"
        )
    packages = chosen_packages(mirror)
    archive = chosen_archive(packages, debian_mirrors, keyring)
    suites = _suites(old, stack_directory)
    architecture = family_named(old.family).debian
    metadata = read_release(archive, old.release, suites, architecture, datetime.now(UTC), console.progress())
    update = update_lock(old, metadata, wanted, allow_libc=publishing.allow_libc)
    left = faulty & _faulty(update.lock, advisories) if faulty else set()
    if left:
        names = ", ".join(sorted(left))
        console.warning(f"{names}: what mends known faults is not on this mirror yet; another one may have it")
    written = None if publishing.dry_run else lock
    if written is not None:
        write_lock(update.lock, written)
    if publish is None:
        _show(console, update, written, publishing.as_json)
        return
    addresses, description = (
        archive_addresses(debian_mirrors),
        declared_layer(require_record(old_tree), stack_directory),
    )
    order = UpdateOrder(publish, tree, not no_verify, packages, addresses, description, without)
    publish_update(console, old_tree, update, order, publishing, written)


def _suites(old: Lock, stack_directory: Path | None) -> tuple[str, ...]:
    """Where packages come from: as for the old lock, unless a stack says what holds now."""
    if stack_directory is not None:
        return chosen_description(stack_directory).suites or suites_of(old.release)
    return tuple(suite.suite for suite in old.suites) or suites_of(old.release)


def _require_sense(
    layer: Path, lock: Path | None, publish: str | None, *, wants_something: bool, dry_run: bool
) -> None:
    """UsageError for what cannot be done together."""
    if not wants_something:
        raise click.UsageError("say what to update: --security, or --source NAME.")
    if publish is not None:
        if layer.is_file():
            raise click.UsageError("--publish wants a layer's directory, whose record says where it belongs.")
        return
    context = click.get_current_context()
    for name in _OF_PUBLISHING:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = next(one.opts[0] for one in context.command.params if one.name == name)
            raise click.UsageError(f"{option} means something with --publish only.")
    if lock is None and not dry_run:
        raise click.UsageError("say where the new lock goes: --lock FILE (or --dry-run), or --publish FQRN.")


def _faulty(lock: Lock, advisories: tuple[str, ...]) -> set[str]:
    """The source packages of `lock` with a fault that counts and can be mended."""
    found = audit_lock(lock, advisories).serious
    return {one.source for one in found if one.ecosystem == DEBIAN and one.state is State.FIXABLE}


def _show(console: Console, update: Update, lock: Path | None, as_json: bool) -> None:
    if as_json:
        console.json(
            {
                "lock": str(lock) if lock else None,
                "changes": changes_document(update.changes),
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
