"""`outcrop cache verify`"""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.cache_options import cache_option, chosen_caches, repository_argument
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.client.cache.sizes import size_text
from outcrop.client.cache.store import Cache
from outcrop.client.cache.verification import Verification, Verifier
from outcrop.cvmfs.digest import Digest
from outcrop.errors import IntegrityError, NotFound


@click.command(
    "verify",
    epilog=examples(
        "outcrop cache verify",
        "outcrop cache verify --repair                         # remove what is damaged",
        "outcrop cache verify --cache /scratch/cvmfs-cache     # a cache that other clients fill, too",
    ),
)
@repository_argument
@cache_option
@click.option("--repair", is_flag=True, help="Remove damaged objects, and mark as proven what its digest proves.")
@click.option("--from-start", is_flag=True, help="Do not go on where an interrupted verification ended.")
@json_option
@click.pass_obj
def command(
    console: Console, *, repository: str | None, cache: str | None, repair: bool, from_start: bool, as_json: bool
) -> None:
    """Check every object in the cache (the one that this site uses for the repository REPO): against its checksum,
    else against the digest in its name and the sizes that catalogs in the cache state.

    What another program has compressed in its own way cannot be proven without a download; it is counted, and fetched
    anew when it is used. Ends with exit code 5 if something is damaged and was not removed.
    """
    choice = chosen_caches(console, repository, cache)
    directory = choice.directory
    if not directory.is_dir():
        raise NotFound(what=f"the cache {directory}", hint="`outcrop cache status` shows where caches are")
    own = Cache(directory, tell=console.warning, quota=choice.quota, read_only=not repair)

    def remove(digest: Digest) -> None:
        own.discard([digest])

    verifier = Verifier(directory, repair=repair, removed=remove if repair else None)
    begun = None if from_start else verifier.earlier()
    if begun is not None:
        console.note(f"going on where the last verification ended, {counted(begun.objects, 'object')} in")
    result = verifier.run(begun, console.progress())
    if as_json:
        console.json(_document(directory, result, repair))
    else:
        _tell(console, result, repair)
    if result.damaged and not repair:
        raise IntegrityError(
            what=f"the cache {directory}",
            problem=f"the bytes of {counted(len(result.damaged), 'object')} are not what they should be",
            hint="`outcrop cache verify --repair` removes damaged objects; they are fetched again when they are needed",
        )


def _tell(console: Console, result: Verification, repair: bool) -> None:
    for one in result.damaged:
        console.result(f"{'removed' if repair else 'damaged'}  {one.path}: {one.problem}")
    console.result(
        f"{counted(result.objects, 'object')}, {size_text(result.bytes)}: {result.sound:,} sound, "
        f"{result.proven:,} proven by their digests, {result.unproven:,} unproven, {len(result.damaged):,} damaged"
    )


def _document(directory: Path, result: Verification, repair: bool) -> dict[str, object]:
    return {
        "cache": str(directory),
        "objects": result.objects,
        "bytes": result.bytes,
        "sound": result.sound,
        "proven": result.proven,
        "unproven": result.unproven,
        "damaged": [{"digest": one.digest, "path": one.path, "problem": one.problem} for one in result.damaged],
        "repaired": repair,
    }
