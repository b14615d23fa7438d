"""`outcrop sources fetch`: fill the mirror with what easystacks need."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.easystack_options import chosen_mirror, easystacks_argument, source_options
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.directories import cache_directory
from outcrop.software.easybuild_plan import plan_easystacks
from outcrop.software.sources.debian import DEFAULT_RELEASES
from outcrop.software.sources.fetch import FetchOutcome, FetchSettings, fetch_sources
from outcrop.software.sources.mirror import ShelvedFile, survey
from outcrop.software.stack import FILTERED_DEPENDENCIES, find_stack


@click.command(
    name="fetch",
    epilog=examples(
        "outcrop sources fetch easystacks/software.example.org/2026.06/*.yml",
        "outcrop sources fetch --dry-run --json demo.yml        # what is there and what is not",
        "outcrop sources fetch --mirror /data/sources demo.yml",
    ),
)
@easystacks_argument
@source_options
@click.option(
    "--debian-mirror",
    "debian_mirrors",
    multiple=True,
    metavar="URL",
    help="A mirror of Debian's archive to look in, instead of those that apt is set up for.",
)
@click.option(
    "--debian-release",
    "debian_releases",
    multiple=True,
    default=DEFAULT_RELEASES,
    show_default=True,
    help="A release of Debian whose source packages are searched. May be given again.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    easystacks: tuple[Path, ...],
    mirror: Path | None,
    easyconfigs: tuple[Path, ...],
    debian_mirrors: tuple[str, ...],
    debian_releases: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fill the mirror with an easystack's sources.

    Every file is looked for by the SHA-256 that its easyconfig names: in the mirror, upstream, on the Python package
    index, and among Debian's source packages. What is not proven is not kept.
    """
    place = chosen_mirror(mirror)
    stack = find_stack(easystacks[0])
    own = (*easyconfigs, *((stack.easyconfig_directory,) if stack and stack.easyconfig_directory else ()))
    filtered = stack.filter_dependencies if stack else FILTERED_DEPENDENCIES
    files = plan_easystacks(easystacks, own, filtered).files
    if dry_run:
        _show_plan(console, survey(files, place), as_json)
        return
    settings = FetchSettings(cache_directory(), os.environ, debian_mirrors, debian_releases)
    outcome = fetch_sources(files, place, settings, console.progress())
    _show(console, outcome, as_json)
    outcome.require_complete()


def _show_plan(console: Console, shelved: tuple[ShelvedFile, ...], as_json: bool) -> None:
    if as_json:
        console.json({"files": [{**_file(one), "state": one.state.name.lower()} for one in shelved]})
        return
    console.table(("FILE", "STATE", "PATH"), [(one.wanted.name, one.state.value, str(one.path)) for one in shelved])


def _show(console: Console, outcome: FetchOutcome, as_json: bool) -> None:
    if as_json:
        console.json(
            {
                "mirror": str(outcome.mirror),
                "present": [_file(one) for one in outcome.present],
                "fetched": [{**_file(one.file), "origin": one.origin, "url": one.url} for one in outcome.fetched],
                "failures": [
                    {**_file(one.file), "tried": [str(tried) for tried in one.tried]} for one in outcome.failures
                ],
            }
        )
        return
    for one in outcome.fetched:
        console.note(f"fetched {one.file.wanted.shelf}/{one.file.wanted.name} from {one.origin} ({one.url})")
    console.result(
        f"{outcome.mirror}: {len(outcome.present)} there already, {len(outcome.fetched)} fetched, "
        f"{len(outcome.failures)} missing"
    )


def _file(shelved: ShelvedFile) -> dict[str, object]:
    return {"name": shelved.wanted.name, "path": str(shelved.path), "sha256": list(shelved.wanted.sha256)}
