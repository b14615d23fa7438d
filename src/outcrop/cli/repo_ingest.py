"""`outcrop repo ingest`"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.history import tag_name
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue, NotFound, UsageError
from outcrop.stratum0.incoming import IncomingTree
from outcrop.stratum0.incoming_directory import DirectoryTree
from outcrop.stratum0.incoming_tarball import TarballTree
from outcrop.stratum0.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "ingest",
    epilog=examples(
        "outcrop repo ingest software.example.org ./tree --at /versions/2026.06",
        "outcrop repo ingest software.example.org gcc.tar.gz --at /gcc -m 'GCC 14'",
        "outcrop repo ingest software.example.org ./tree --at /data --dry-run   # what would change",
        "outcrop repo ingest software.example.org --delete /software/old",
    ),
)
@click.argument("fqrn")
@click.argument("trees", nargs=-1, metavar="[TREE]...", type=click.Path(path_type=Path))
@click.option("--at", metavar="PATH", default="/", show_default=True, help="Where in the repository the trees go.")
@click.option("--delete", multiple=True, metavar="PATH", help="Take PATH and all below it away.")
@click.option("--replace", multiple=True, metavar="PATH", help="Below PATH, take away what does not come in again.")
@click.option("--owner", metavar="UID:GID", help="The owner of everything that comes in, instead of the tree's own.")
@click.option("--message", "-m", default="", help="What this change is about, for `outcrop repo log`.")
@click.option("--tag", metavar="NAME", help="A name for the new revision.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    trees: tuple[Path, ...],
    at: str,
    delete: tuple[str, ...],
    replace: tuple[str, ...],
    owner: str | None,
    message: str,
    tag: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish every TREE (a directory or a tarball) into the repository FQRN, as one revision.

    Trees are laid over what is there: directories are merged, other entries replaced. A directory that holds a file
    called .cvmfscatalog becomes a nested catalog. Nothing is published unless everything is.
    """
    if not trees and not delete:
        raise UsageError(problem="nothing to publish: no tree and no --delete", hint="`outcrop repo ingest --help`")
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    request = IngestRequest(
        trees=tuple(_incoming_tree(path, repository.settings.extended_attributes) for path in trees),
        at=repository_path(at),
        delete=tuple(repository_path(path) for path in delete),
        replace=tuple(repository_path(path) for path in replace),
        owner=_owner(owner) if owner else None,
        message=message,
        tag=tag_name(tag) if tag else None,
    )
    outcome = ingest(repository, request, now=datetime.now(UTC), dry_run=dry_run, progress=console.progress())
    for note in outcome.notes:
        console.warning(note)
    if as_json:
        console.json(_document(outcome))
        return
    if dry_run:
        for change in outcome.summary.changes:
            console.result(f"{change.effect.value} {shown(change.path)}")
    _tell(console, outcome, dry_run)


def _incoming_tree(path: Path, with_xattrs: bool) -> IncomingTree:
    if path.is_dir():
        return DirectoryTree(path, with_xattrs=with_xattrs)
    if path.is_file():
        return TarballTree(path, with_xattrs=with_xattrs)
    if path.exists():
        raise InvalidValue(what=str(path), problem="is neither a directory nor a tarball")
    raise NotFound(what=str(path), hint="name a directory or a tarball")


def _owner(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    if not (uid.isascii() and uid.isdigit() and gid.isascii() and gid.isdigit()):
        raise UsageError(problem=f"--owner {text!r} is not of the form UID:GID", hint="for example `--owner 0:0`")
    return int(uid), int(gid)


def _document(outcome: IngestOutcome) -> dict[str, object]:
    summary = outcome.summary
    return {
        "repository": outcome.manifest.repository,
        "published": outcome.published,
        "revision": outcome.manifest.revision,
        "root_catalog": str(outcome.manifest.root_catalog),
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "unchanged": summary.unchanged,
        "bytes": summary.bytes_in,
        "catalogs": summary.catalogs,
        "changes": [{"path": shown(change.path), "effect": change.effect.name.lower()} for change in summary.changes],
    }


def _tell(console: Console, outcome: IngestOutcome, dry_run: bool) -> None:
    summary, manifest = outcome.summary, outcome.manifest
    counts = f"{summary.added:,} added, {summary.changed:,} changed, {summary.removed:,} removed"
    size = f"{summary.bytes_in:,} bytes, {summary.catalogs} catalogs written"
    if summary.is_empty:
        console.result(f"{manifest.repository} has all of this already: still revision {manifest.revision}")
    elif dry_run:
        console.result(f"{manifest.repository} would become revision {manifest.revision + 1}: {counts}; {size}")
    else:
        console.result(f"{manifest.repository} is now revision {manifest.revision}: {counts}; {size}")
