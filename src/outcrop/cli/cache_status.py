"""`outcrop cache status`"""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from outcrop.cli.cache_options import amount_text, cache_option, chosen_caches, limit_option, repository_argument
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.client.cache.sizes import size_text
from outcrop.client.cache.status import CacheStatus, look_at


@click.command(
    "status",
    epilog=examples(
        "outcrop cache status",
        "outcrop cache status software.example.org             # the one that this site uses for it",
        "outcrop cache status --cache /scratch/cvmfs-cache --json",
    ),
)
@repository_argument
@cache_option
@limit_option
@json_option
@click.pass_obj
def command(console: Console, *, repository: str | None, cache: str | None, limit: str, as_json: bool) -> None:
    """Show the caches that are read from, in their order: where they are, what they hold, and what limits them.

    The first takes in what is fetched; the others are only read (OUTCROP_CACHE_LOWER). A site may have another cache,
    and another limit, for the repository REPO. Nothing is changed.
    """
    choice = chosen_caches(console, repository, cache, limit)
    quota = choice.quota
    now = time.time()
    found = [look_at(choice.directory, quota.limit if quota else None, now)]
    found += [look_at(directory, None, now, lower=True) for directory in choice.settings.lower]
    if as_json:
        console.json([_document(one) for one in found])
        return
    for number, one in enumerate(found):
        if number:
            console.result("")
        for line in _lines(one):
            console.result(line)


def _lines(one: CacheStatus) -> list[str]:
    if not one.exists:
        return [f"cache      {one.directory}", "state      not there yet"]
    lines = [
        f"cache      {one.directory}",
        f"state      {'writable' if one.writable else 'read only'}{'' if one.own else ', begun by another program'}",
        f"holds      {amount_text(one.objects, 'object')}",
        f"limit      {_limit_text(one)}",
        f"free disk  {size_text(one.free)}",
    ]
    if one.pinned.files:
        lines.append(f"pinned     {amount_text(one.pinned, 'catalog')}")
    if one.users:
        lines.append(f"in use by  {counted(one.users, 'process', 'processes')}")
    if one.in_transit.files:
        lines.append(f"coming in  {amount_text(one.in_transit, 'file')}")
    if one.leftovers.files:
        lines.append(f"left over  {amount_text(one.leftovers, 'file')}")
    return lines


def _limit_text(one: CacheStatus) -> str:
    if one.limit is None:
        return "none"
    return f"{size_text(one.limit)}, {100 * one.objects.bytes / one.limit:.0f} % used"


def _document(one: CacheStatus) -> dict[str, object]:
    return asdict(one) | {"directory": str(one.directory)}
