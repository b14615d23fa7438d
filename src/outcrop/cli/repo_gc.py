"""`outcrop repo gc`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.collection.collect import DroppedRevision, GarbageCollection, collect_garbage
from outcrop.stratum0.collection.retention import Window
from outcrop.stratum0.collection.sweep import Removal
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "gc",
    epilog=examples(
        "outcrop repo gc software.example.org --dry-run   # what would go",
        "outcrop repo gc software.example.org",
        "outcrop repo gc software.example.org --keep-days 7 --keep-revisions 10",
    ),
)
@click.argument("fqrn")
@click.option(
    "--keep-days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    show_default="the setting gc_keep_days, 28 at first",
    help="Keep what was current in the last DAYS days.",
)
@click.option(
    "--keep-revisions",
    type=click.IntRange(min=1),
    metavar="COUNT",
    default=1,
    help="Keep the newest COUNT revisions, whatever their age.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console, *, fqrn: str, keep_days: int | None, keep_revisions: int, dry_run: bool, as_json: bool
) -> None:
    """Remove old revisions of the repository FQRN, and all objects that nothing refers to any more.

    The current revision, the one before it, every revision with a tag of its own and what open transactions began from
    stay; others stay for as long as a reader may be at work on them. The tags that publishing makes by itself end with
    their revisions. Readers and replicas are not disturbed; publishers wait.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    now = int(datetime.now(UTC).timestamp())
    days = repository.settings.gc_keep_days if keep_days is None else keep_days
    window = Window.of_days(days, now, keep_revisions)
    collection = collect_garbage(repository, window, now=now, dry_run=dry_run, progress=console.progress())
    for revision in collection.unreadable:
        console.warning(f"a publish that never ended left {revision.root} incomplete; it is given up")
    if collection.strange_names:
        strange = counted(collection.strange_names, "file")
        verbs = "is no object, and stays" if collection.strange_names == 1 else "are no objects, and stay"
        console.note(f"{strange} below data/ {verbs}")
    if as_json:
        console.json(_document(collection, dry_run))
        return
    if dry_run:
        _list(console, collection)
    _tell(console, collection, dry_run)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _number(dropped: DroppedRevision) -> str:
    return f"revision {dropped.revision}" if dropped.revision is not None else "a revision without its root catalog"


def _kind(removal: Removal) -> str:
    return removal.kind.name.lower().replace("_", "-")


def _list(console: Console, collection: GarbageCollection) -> None:
    for dropped in collection.dropped:
        console.result(f"- {_number(dropped)} of {_moment(dropped.recorded_at):%Y-%m-%d %H:%M:%S}")
    for tag in collection.expired_tags:
        console.result(f"- tag {tag.name}")
    rows = [
        (_kind(removal), f"{removal.objects:,}", "-" if removal.bytes is None else f"{removal.bytes:,}")
        for removal in collection.removals
    ]
    console.table(("KIND", "OBJECTS", "BYTES"), rows)


def _tell(console: Console, collection: GarbageCollection, dry_run: bool) -> None:
    kept, dropped = counted(len(collection.kept), "revision"), len(collection.dropped)
    objects = counted(collection.objects, "object")
    size = None if collection.bytes is None else counted(collection.bytes, "byte")
    if dry_run:
        told = f"would keep {kept} and drop {dropped:,}; remove {objects}" + (f" and free {size}" if size else "")
    else:
        told = f"{kept} kept, {dropped:,} dropped; {objects} removed" + (f", {size} freed" if size else "")
    console.result(f"{collection.manifest.repository}: {told}")


def _document(collection: GarbageCollection, dry_run: bool) -> dict[str, object]:
    return {
        "repository": collection.manifest.repository,
        "revision": collection.manifest.revision,
        "collected": not dry_run,
        "kept": [
            {"root_catalog": str(one.root), "reason": one.reason.name.lower(), "name": one.name or None}
            for one in collection.kept
        ],
        "dropped": [
            {
                "root_catalog": str(one.root),
                "revision": one.revision,
                "recorded": f"{_moment(one.recorded_at):%Y-%m-%dT%H:%M:%SZ}",
            }
            for one in collection.dropped
        ],
        "unreadable": [str(one.root) for one in collection.unreadable],
        "tags": [tag.name for tag in collection.expired_tags],
        "objects": collection.objects,
        "bytes": collection.bytes,
        "by_kind": {_kind(one): {"objects": one.objects, "bytes": one.bytes} for one in collection.removals},
        "strange_names": collection.strange_names,
    }
