"""`outcrop cache warm`"""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.cache_options import caches_for
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.cache.quota import Quota
from outcrop.client.cache.sizes import size_text
from outcrop.client.cache.wanted_paths import asked_path, wanted_paths
from outcrop.client.cache.warming import WarmPlan, plan_warming, warm
from outcrop.client.repository import OpenRepository
from outcrop.errors import InvalidValue, UsageError, storage_error


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
    with reading.open_at(address, console) as repository:
        tops = [asked_path(path, repository.name) for path in paths]
        listed = [wanted for trace in traces for wanted in wanted_paths(_lines(trace), repository.name, str(trace))]
        plan = plan_warming(repository.tree, tops, listed)
        quota = caches_for(console, reading, address).quota
        if quota is not None:
            _check_fits(plan, quota)
        if not dry_run:
            warm(plan, repository.contents, console.progress())
    if plan.missing:
        console.note(f"nothing is at {counted(len(plan.missing), 'path')} of the list, such as {plan.missing[0]}")
    if as_json:
        console.json(_document(repository, plan, dry_run))
        return
    verb = "would be in the cache" if dry_run else "in the cache"
    console.result(
        f"{verb}: {counted(plan.files, 'file')} of {repository.name}, {counted(len(plan.pieces), 'object')}, "
        f"{size_text(plan.size)}"
    )


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
