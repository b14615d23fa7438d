"""`outcrop cache warm`"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.reading import Reading, reading_options
from outcrop.cli.terminal import one_line
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.sizes import size_text
from outcrop.client.cache.store import Cache
from outcrop.client.cache.wanted_paths import asked_path, wanted_paths
from outcrop.client.cache.warming import WarmPlan, plan_warming, warm
from outcrop.client.contents import Contents
from outcrop.client.repository import OpenRepository, cache_choice, open_repository
from outcrop.client.tree import Tree
from outcrop.errors import Interrupted, InvalidValue, NotFound, UsageError, storage_error


@click.command(
    "warm",
    epilog=examples(
        "outcrop cache warm software.example.org /versions/2026.06/init",
        "outcrop cache warm software.example.org --trace trace.jsonl     # what a program has read",
        "outcrop cache warm software.example.org /versions/2026.06 --cache /scratch/cvmfs-cache",
        "outcrop cache warm software.example.org / --dry-run             # how much would it be?",
    ),
)
@reading_options
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--trace",
    "traces",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file with one path a line, or a trace in JSON lines. May be given again.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    paths: tuple[str, ...],
    traces: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch what reading PATH needs from the repository REPO into the cache: its catalogs and files, and all below it.

    Of a trace, exactly what it names is fetched; paths of other repositories, and those where nothing is, are passed
    over. The catalogs that say how much it is are fetched with `--dry-run`, too.
    """
    if not paths and not traces:
        raise UsageError(problem="what shall be fetched?", hint="name paths (`/` for all), or a file with `--trace`")
    address = reading.address(console)
    tell = _told_once(console)
    choice = cache_choice(address, reading.settings(), tell)
    # Nothing is fetched for a cache that takes nothing in.
    caches = choice.open_as_it_is()
    try:
        with open_repository(address, reading.settings(), reading.choice(), tell) as repository:
            contents = _contents_of(repository, caches, tell)
            with closing(Tree(contents, repository.root, repository.name)) as tree:
                plan = _plan(tree, paths, traces)
                if choice.quota is not None:
                    _check_fits(plan, choice.quota)
                if not dry_run:
                    warm(plan, contents, console.progress())
    except KeyboardInterrupt as error:
        raise Interrupted(hint="what was fetched stays in the cache; the same command goes on from there") from error
    if plan.missing:
        console.note(
            f"nothing is at {counted(len(plan.missing), 'path')} of the list, such as {one_line(plan.missing[0])}"
        )
    if as_json:
        console.json(_document(repository, plan, dry_run))
        return
    verb = "would be in the cache" if dry_run else "in the cache"
    console.result(
        f"{verb}: {counted(plan.files, 'file')} of {repository.name}, {counted(len(plan.pieces), 'object')}, "
        f"{size_text(plan.size)}"
    )


def _told_once(console: Console) -> Callable[[str], None]:
    """Warns of everything once: the caches are opened twice, by the repository and for what is fetched."""
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            console.warning(text)

    return tell


def _contents_of(repository: OpenRepository, caches: list[Cache], tell: Callable[[str], None]) -> Contents:
    """The contents of `repository` by way of `caches` alone, with nothing to step in where those are full: what is
    somewhere else in the end would be fetched again by whoever needs it."""
    own = repository.contents
    return Contents(own.servers, caches, external=own.external_servers, tell=tell)


def _plan(tree: Tree, paths: tuple[str, ...], traces: tuple[Path, ...]) -> WarmPlan:
    """What is to be fetched; NotFound if there is nothing at all that `paths` and `traces` name."""
    tops = [asked_path(path, tree.repository) for path in paths]
    listed = [wanted for trace in traces for wanted in wanted_paths(_lines(trace), tree.repository, str(trace))]
    plan = plan_warming(tree, tops, listed)
    if not tops and len(plan.missing) == len(listed):
        names = ", ".join(str(trace) for trace in traces)
        first = f" (first {one_line(plan.missing[0])})" if plan.missing else ""
        raise NotFound(
            what=f"what {names} names of {tree.repository}{first}",
            hint=f"`outcrop ls {tree.repository}` shows what there is",
        )
    return plan


def _lines(trace: Path) -> list[str]:
    try:
        return trace.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise storage_error(error, str(trace)) from error


def _check_fits(plan: WarmPlan, quota: Quota) -> None:
    """Says so before hours of fetching, each hour of which would remove what the one before brought."""
    if plan.size > quota.limit:
        raise InvalidValue(
            what="what is asked for",
            problem=f"has {size_text(plan.size)}, and the cache may hold {size_text(quota.limit)}",
            hint="ask for less, or raise the limit: OUTCROP_CACHE_LIMIT=100G, or none",
        )


def _document(repository: OpenRepository, plan: WarmPlan, dry_run: bool) -> dict[str, object]:
    return {
        "repository": repository.name,
        "root_catalog": repository.root.digest.text,
        "warmed": not dry_run,
        "files": plan.files,
        "objects": len(plan.pieces),
        "bytes": plan.size,
        "missing": plan.missing,
    }
