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
from outcrop.cvmfs.paths import shown
from outcrop.directories import data_directory, state_directory
from outcrop.errors import Interrupted
from outcrop.storage import places
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.damage import memory_path, save_damage, saved_damage
from outcrop.stratum0.check.memory import FileMemory
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.report import Depth
from outcrop.stratum0.repair.mending import RepairOutcome, RepairRequest, Step, planned_repair, repair
from outcrop.stratum0.repository import OwnedRepository

_CLIENT_SCHEMES = ("http://", "https://", "file://")


@click.command(
    "repair",
    epilog=examples(
        "outcrop repo repair software.example.org --from http://s1.example.org/cvmfs/software.example.org",
        "outcrop repo repair software.example.org --from /backup/software.example.org --full",
        "outcrop repo repair software.example.org --from URL --dry-run   # what would be fetched",
        "outcrop repo repair software.example.org --from URL --newer   # a restored backup is behind its replica",
        "outcrop repo repair software.example.org --discard-altered   # then publish the same files again",
    ),
)
@click.argument("fqrn")
@click.option("--from", "mirrors", multiple=True, metavar="URL|DIR", help="A healthy copy; several are tried in turn.")
@click.option("--full", is_flag=True, help="Read every object first, to find those that are altered.")
@click.option("--newer", is_flag=True, help="Take the newest revision that a copy has, if it is newer than ours.")
@click.option("--discard-altered", is_flag=True, help="Take altered contents of files away that no copy has.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    mirrors: tuple[str, ...],
    full: bool,
    newer: bool,
    discard_altered: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch what is gone or altered in the repository FQRN from healthy copies of it.

    What the last `outcrop repo check` found is looked at closely, and so are the contents of all files below a catalog
    that had to be fetched, which no check could see; all else for being there. Every object is proved by its digest, so
    no mirror needs to be trusted. What cannot be mended is told with the reason.

    Contents of files that no copy has come back when the files are published again. Those that are altered are in the
    way of that until --discard-altered takes them away.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    depth = Depth.CONTENT if full else Depth.EXISTENCE
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(_mirror(text))) for text in mirrors]
        memory = stack.enter_context(closing(FileMemory(memory_path(state_directory(), repository.name, depth))))
        suspects = saved_damage(state_directory(), repository.name)
        request = RepairRequest(stores, depth, suspects, newer, discard_altered)
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
        _tell(console, outcome, dry_run, discard_altered)
    trouble = outcome.report.error()
    if trouble is not None and not dry_run:
        raise trouble


def _mirror(text: str) -> ReadableStore:
    """The copy that a user means: an http, https, file or s3 URL, or a directory."""
    if text.startswith(_CLIENT_SCHEMES):
        return open_store(text)
    return places.open_store(str(Path(text).absolute()) if places.is_directory_address(text) else text)


def _tell(console: Console, outcome: RepairOutcome, dry_run: bool, discard_altered: bool) -> None:
    name = outcome.report.repository
    if outcome.behind is not None:
        console.note(f"{outcome.behind.detail}: {outcome.behind.remedy(name)}")
    if dry_run:
        for step in outcome.planned:
            console.result(_planned(step, discard_altered))
        console.note("more may come up below a catalog that is damaged")
        return
    for mended in outcome.mended:
        console.result(f"mended {mended.step.name} ({mended.source})")
    for failed in outcome.failed:
        console.warning(f"{failed.step.problem.where} could not be mended: {failed.reason}")
    for step in outcome.discarded:
        console.result(f"took {step.name} away, which is altered")
    for way in _ways_out(outcome):
        console.note(way)
    if outcome.report.is_clean:
        console.result(f"{name} is sound" + ("" if outcome.mended else "; there was nothing to mend"))


_STATES = {Kind.MISSING: "missing", Kind.ALTERED: "altered", Kind.ALTERED_LEFTOVER: "altered"}


def _planned(step: Step, discard_altered: bool) -> str:
    problem = step.problem
    place = "" if problem.path is None else f" for {shown(problem.path)}"
    state = _STATES.get(problem.kind)
    reason = f", which is {state}" if state else f": {problem.detail}"
    way_out = "; take it away if no copy has it" if discard_altered and step.is_altered_content else ""
    return f"{step.action.value} {step.name}{place}{reason}{way_out}"


def _ways_out(outcome: RepairOutcome) -> list[str]:
    """How contents of files come back that no copy has."""
    discarded = {step.name for step in outcome.discarded}
    contents = [failed.step for failed in outcome.failed if failed.step.is_content]
    if any(step.is_altered_content and step.name not in discarded for step in contents):
        return ["`--discard-altered` takes what is altered away, so that publishing the files again brings it back"]
    return ["publish the files again, as they were: that brings their contents back"] if contents else []


def _document(outcome: RepairOutcome) -> dict[str, object]:
    return {
        "planned": [{"action": step.action.value, "name": step.name} for step in outcome.planned],
        "mended": [{"name": mended.step.name, "source": mended.source} for mended in outcome.mended],
        "failed": [{"name": failed.step.name, "reason": failed.reason} for failed in outcome.failed],
        "discarded": [step.name for step in outcome.discarded],
        "behind": outcome.behind.detail if outcome.behind is not None else None,
        "check": document(outcome.report),
    }
