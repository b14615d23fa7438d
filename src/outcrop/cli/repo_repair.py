"""`outcrop repo repair`"""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.repo_check import document
from outcrop.client.address import open_store
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory, state_directory
from outcrop.errors import Interrupted
from outcrop.storage import places
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.damage import memory_path, save_damage, saved_damage
from outcrop.stratum0.check.memory import FileMemory
from outcrop.stratum0.check.report import Depth
from outcrop.stratum0.repair import RepairOutcome, RepairRequest, planned_repair, repair
from outcrop.stratum0.repository import OwnedRepository

_CLIENT_SCHEMES = ("http://", "https://", "file://")


@click.command(
    "repair",
    epilog=examples(
        "outcrop repo repair software.example.org --from http://s1.example.org/cvmfs/software.example.org",
        "outcrop repo repair software.example.org --from /backup/software.example.org --full",
        "outcrop repo repair software.example.org --from URL --dry-run   # what would be fetched",
    ),
)
@click.argument("fqrn")
@click.option("--from", "mirrors", multiple=True, metavar="URL|DIR", help="A healthy copy; several are tried in turn.")
@click.option("--full", is_flag=True, help="Read every object first, to find those that are altered.")
@dry_run_option
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, mirrors: tuple[str, ...], full: bool, dry_run: bool, as_json: bool) -> None:
    """Fetch what is gone or altered in the repository FQRN from healthy copies of it.

    What the last `outcrop repo check` found is looked at closely, all else for being there. Every object is proved by
    its digest, so no mirror needs to be trusted. What cannot be mended is told with the reason.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    depth = Depth.CONTENT if full else Depth.EXISTENCE
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(_mirror(text))) for text in mirrors]
        memory = stack.enter_context(closing(FileMemory(memory_path(state_directory(), repository.name, depth))))
        request = RepairRequest(stores, depth, saved_damage(state_directory(), repository.name))
        work = planned_repair if dry_run else repair
        try:
            outcome = work(repository, request, datetime.now(UTC), memory=memory, progress=console.progress())
        except KeyboardInterrupt as error:
            raise Interrupted(hint="what was mended stays mended; the same command goes on") from error
    if not dry_run:
        save_damage(state_directory(), repository.name, outcome.report.damaged_objects)
    if as_json:
        console.json(_document(outcome))
    else:
        _tell(console, outcome, dry_run)
    trouble = outcome.report.error()
    if trouble is not None and not dry_run:
        raise trouble


def _mirror(text: str) -> ReadableStore:
    """The copy that a user means: an http, https, file or s3 URL, or a directory."""
    if text.startswith(_CLIENT_SCHEMES):
        return open_store(text)
    return places.open_store(str(Path(text).absolute()) if places.is_directory_address(text) else text)


def _tell(console: Console, outcome: RepairOutcome, dry_run: bool) -> None:
    if dry_run:
        for step in outcome.planned:
            console.result(f"{step.action.value} {step.problem}")
        console.note("more may come up below a catalog that is damaged")
        return
    for mended in outcome.mended:
        console.result(f"mended {mended.step.name} ({mended.source})")
    for failed in outcome.failed:
        console.warning(f"{failed.step.problem.where} could not be mended: {failed.reason}")
    name = outcome.report.repository
    if outcome.report.is_clean:
        console.result(f"{name} is sound" + ("" if outcome.mended else "; there was nothing to mend"))


def _document(outcome: RepairOutcome) -> dict[str, object]:
    return {
        "planned": [{"action": step.action.value, "name": step.name} for step in outcome.planned],
        "mended": [{"name": mended.step.name, "source": mended.source} for mended in outcome.mended],
        "failed": [{"name": failed.step.name, "reason": failed.reason} for failed in outcome.failed],
        "check": document(outcome.report),
    }
