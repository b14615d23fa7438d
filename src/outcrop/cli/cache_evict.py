"""`outcrop cache evict`"""

from __future__ import annotations

import click

from outcrop.cli.cache_options import caches_for, chosen_caches, size_argument
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.client.cache.eviction import Eviction
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.room import LimitedRoom
from outcrop.client.cache.sizes import MAXIMUM_SIZE, size_text
from outcrop.client.cache.store import Cache
from outcrop.client.cache.wanted_paths import asked_path
from outcrop.client.cache.warming import plan_warming
from outcrop.client.cache_choice import CacheChoice
from outcrop.client.known_repository import RepositoryAddress
from outcrop.errors import Busy, NotFound, UsageError


@click.command(
    "evict",
    epilog=examples(
        "outcrop cache evict --to 2G                                       # the least recently used goes",
        "outcrop cache evict software.example.org --to 2G                  # of the cache that this site has for it",
        "outcrop cache evict --all --dry-run",
        "outcrop cache evict software.example.org /versions/2025.06",
    ),
)
@reading_options_with(required=False)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--to", "goal", metavar="SIZE", default="", help="Remove the least recently used until SIZE is left.")
@click.option("--all", "everything", is_flag=True, help="Remove all that no running process has pinned.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    paths: tuple[str, ...],
    goal: str,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove objects from the cache: down to a size, all, or the files at PATH of the repository REPO and below.

    With REPO it is the cache that this site uses for that, whatever else is in it.
    Whoever needs them again fetches them again. Files that are open stay readable, and catalogs that a running process
    uses stay; an object that other paths share goes with the path that is named.
    """
    if sum((bool(goal), everything, bool(paths))) != 1 or (everything and reading.repository):
        raise UsageError(
            problem="what shall go?", hint="say one of `--to SIZE`, `--all`, and a repository with one or more paths"
        )
    address = reading.address(console) if reading.repository else None
    choice = caches_for(console, reading, address) if address else chosen_caches(console, None, reading.cache)
    if not choice.directory.is_dir():
        raise NotFound(what=f"the cache {choice.directory}", hint="`outcrop cache status` shows where caches are")
    if address is not None and paths:
        eviction = _evict_paths(console, reading, address, choice, paths, dry_run)
    else:
        eviction = _evict_oldest(console, choice, size_argument(goal, "--to") or 0, dry_run)
    if as_json:
        console.json(
            {
                "cache": str(choice.directory),
                "objects": eviction.objects,
                "bytes": eviction.bytes,
                "leftovers": eviction.leftovers,
                "evicted": not dry_run,
            }
        )
        return
    verb = "would be removed" if dry_run else "removed"
    console.result(f"{verb}: {counted(eviction.objects, 'object')}, {size_text(eviction.bytes)}")
    if eviction.leftovers:
        console.note(f"{counted(eviction.leftovers, 'file')} of processes that ended went, too")


def _evict_oldest(console: Console, choice: CacheChoice, goal: int, dry_run: bool) -> Eviction:
    room = LimitedRoom(choice.directory, choice.quota or Quota(MAXIMUM_SIZE))
    try:
        eviction = room.evict(goal, console.progress(), dry_run=dry_run)
    finally:
        room.leave()
    if eviction is None:
        raise Busy(what=f"the cache {choice.directory}", holder="another process that evicts")
    return eviction


def _evict_paths(
    console: Console,
    reading: Reading,
    address: RepositoryAddress,
    choice: CacheChoice,
    paths: tuple[str, ...],
    dry_run: bool,
) -> Eviction:
    with reading.open_at(address, console) as repository:
        tops = [asked_path(path, repository.name) for path in paths]
        plan = plan_warming(repository.tree, tops)
    cache = Cache(choice.directory, tell=console.warning, quota=choice.quota)
    digests = [piece.object.digest for piece in plan.pieces.values()]
    removed = cache.found(digests) if dry_run else cache.discard(digests)
    return Eviction(removed.files, removed.bytes)
