"""`outcrop stack build`: build easystacks for one target, ready to be published."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.author import login_and_host
from outcrop.cli.console import Console
from outcrop.cli.easystack_options import chosen_mirror, easystacks_argument, source_options
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.delivery.publish import publish_build
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue
from outcrop.init.detect import detect
from outcrop.init.machine import read_machine
from outcrop.init.target import Target
from outcrop.software.build import (
    BuildOutcome,
    BuildRequest,
    PreparedBuild,
    available_processors,
    prepare,
    run,
)
from outcrop.software.changeset import Installation
from outcrop.software.easybuild_run import BuildStep, StepState
from outcrop.software.stack import STACK_FILE, Stack, find_stack
from outcrop.stratum0.publishing.ingest import IngestOutcome
from outcrop.stratum0.repository import OwnedRepository

TREES_DIRECTORY = "trees"


@click.command(
    name="build",
    epilog=examples(
        "outcrop stack build easystacks/software.example.org/2026.06/*.yml",
        "outcrop stack build --target x86_64/generic demo.yml    # for every processor of the family",
        "outcrop stack build --publish demo.yml                  # and make a revision of it",
        "outcrop stack build --dry-run demo.yml                  # what is there and what is not",
    ),
)
@easystacks_argument
@click.option("--repository", metavar="FQRN", help="The repository to build for, instead of the stack's.")
@click.option("--version", metavar="V", help="The version of the stack, instead of the stack's.")
@click.option("--target", metavar="T", help="The processor to build for, by default this machine's.")
@click.option(
    "--tree",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory that takes the files, by default in the data directory.",
)
@source_options
@click.option("--jobs", type=click.IntRange(min=1), help="How many processors a build may use, by default all.")
@click.option(
    "--publish", is_flag=True, help="Publish it into the repository, which must be your own, as one revision."
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    easystacks: tuple[Path, ...],
    repository: str | None,
    version: str | None,
    target: str | None,
    tree: Path | None,
    mirror: Path | None,
    easyconfigs: tuple[Path, ...],
    jobs: int | None,
    publish: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build an easystack with EasyBuild for one target.

    Everything is installed under its final prefix, /cvmfs/FQRN/versions/…, while the files go to a directory on disk.
    What is installed already is left alone. The answer is what there is to publish; with --publish it becomes a
    revision, together with the shell files that start the stack.
    """
    stack = _stack(easystacks[0], repository, version)
    request = BuildRequest(
        stack=stack,
        target=Target.parse(target) if target else _this_machine(),
        easystacks=easystacks,
        tree=tree or data_directory() / TREES_DIRECTORY / stack.repository,
        mirror=chosen_mirror(mirror),
        jobs=jobs or available_processors(),
        easyconfigs=easyconfigs,
    )
    owned = OwnedRepository.open(data_directory(), stack.repository) if publish else None
    prepared = prepare(request)
    if dry_run:
        _show_plan(console, prepared, as_json)
        return
    outcome = run(prepared, lambda step: console.note(told(step)))
    for note in outcome.notes:
        console.warning(note)
    published = None
    if owned is not None:
        progress = console.progress()
        now, author = datetime.now(UTC), login_and_host()
        published = publish_build(owned, prepared, outcome, now=now, author=author, progress=progress)
    _show(console, outcome, published, as_json)
    outcome.held_back.require_nothing(prepared.tree.root / prepared.layout.software)


def _stack(easystack: Path, repository: str | None, version: str | None) -> Stack:
    stack = find_stack(easystack)
    if stack is None:
        if not (repository and version):
            raise InvalidValue(
                what=f"the easystack {easystack}",
                problem=f"belongs to no stack: no directory above it has a {STACK_FILE}",
                hint="write one, or give --repository and --version",
            )
        return Stack(repository_name(repository), version)
    if repository:
        stack = replace(stack, repository=repository_name(repository))
    return replace(stack, version=version) if version else stack


def _this_machine() -> Target:
    machine = read_machine()
    return detect(machine.cpuinfo, machine.machine_type).best


def told(step: BuildStep) -> str:
    """One line that says where a build is."""
    if step.state is StepState.BEGUN:
        return f"[{step.number}/{step.total}] building {step.module}"
    return f"[{step.number}/{step.total}] built {step.module} in {step.seconds:.0f} s"


def _show_plan(console: Console, prepared: PreparedBuild, as_json: bool) -> None:
    missing = {one.module for one in prepared.missing}
    if as_json:
        console.json(
            {
                "repository": prepared.layout.repository,
                "target": str(prepared.layout.target),
                "prefix": str(prepared.layout.final),
                "tree": str(prepared.tree.root),
                "optarch": prepared.optarch,
                "easybuild": prepared.plan.easybuild,
                "installations": [
                    {
                        **_installation(Installation.planned(one)),
                        "easyconfig": str(one.easyconfig),
                        "state": "missing" if one.module in missing else "installed",
                    }
                    for one in prepared.plan.installations
                ],
                "notes": list(prepared.notes),
            }
        )
        return
    console.note(f"into {prepared.layout.final} with --optarch={prepared.optarch}")
    for note in prepared.notes:
        console.warning(note)
    console.table(
        ("MODULE", "STATE", "EASYCONFIG"),
        [
            (one.module, "to be built" if one.module in missing else "installed", str(one.easyconfig))
            for one in prepared.plan.installations
        ],
    )


def _show(console: Console, outcome: BuildOutcome, published: IngestOutcome | None, as_json: bool) -> None:
    changes = outcome.changes
    if as_json:
        console.json(
            {
                "repository": changes.repository,
                "tree": str(changes.tree),
                "paths": [str(path) for path in changes.paths],
                "removed": [str(path) for path in changes.removed],
                "message": changes.message,
                "installations": [_installation(one) for one in changes.installations],
                "built": [one.module for one in outcome.built],
                "skipped": [one.module for one in outcome.skipped],
                "seconds": round(outcome.seconds, 1),
                "held_back": outcome.held_back.problems,
                "logs": [str(path) for path in outcome.logs],
                "notes": [*outcome.notes, *(published.notes if published else ())],
                "revision": published.manifest.revision if published else None,
            }
        )
        return
    console.note(f"{len(outcome.built)} built, {len(outcome.skipped)} there already, in {outcome.seconds:.0f} s")
    if published is not None:
        for note in published.notes:
            console.warning(note)
        verb = "is now" if published.published else "has all of this already: still"
        console.result(f"{changes.repository} {verb} revision {published.manifest.revision}")
        return
    if changes.is_empty:
        console.result(f"{changes.tree}: nothing to publish")
        return
    console.result(
        f"{changes.tree}: {len(changes.paths)} parts to publish into {changes.repository}: {changes.message}"
    )


def _installation(one: Installation) -> dict[str, str]:
    return {
        "module": one.module,
        "name": one.name,
        "version": one.version,
        "versionsuffix": one.versionsuffix,
        "toolchain": one.toolchain,
    }
