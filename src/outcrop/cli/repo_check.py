"""`outcrop repo check`"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory, state_directory
from outcrop.errors import Interrupted
from outcrop.stratum0.check.damage import memory_path, save_damage
from outcrop.stratum0.check.memory import FileMemory
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.problems import Problem, Severity
from outcrop.stratum0.check.report import CheckReport, Depth
from outcrop.stratum0.check.repository import CheckRequest, check_repository
from outcrop.stratum0.repository import OwnedRepository


@click.command(
    "check",
    epilog=examples(
        "outcrop repo check software.example.org",
        "outcrop repo check software.example.org --full   # read every object",
        "outcrop repo check software.example.org --no-tags --json",
    ),
)
@click.argument("fqrn")
@click.option("--full", is_flag=True, help="Read every object: its digest, and that it holds what the catalog says.")
@click.option("--tags/--no-tags", default=True, show_default=True, help="Look at the trees of all tags, too.")
@click.option("--fresh", is_flag=True, help="Begin anew, even if an earlier check was interrupted.")
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, full: bool, tags: bool, fresh: bool, as_json: bool) -> None:
    """Check the repository FQRN: signatures, history, every catalog, and that every object is there.

    Nothing is changed. A check that was interrupted goes on where it was. The exit code is 5 where something is gone
    or altered, 4 where readers would not trust what is there, 3 where catalogs contradict themselves or each other.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    request = CheckRequest(Depth.CONTENT if full else Depth.EXISTENCE, tags)
    with closing(FileMemory(memory_path(state_directory(), repository.name, request.depth), fresh=fresh)) as memory:
        try:
            trusted = trusted_by(repository, datetime.now(UTC))
            report = check_repository(repository.store, trusted, request, memory=memory, progress=console.progress())
        except KeyboardInterrupt as error:
            raise Interrupted(hint="the same command goes on where this one was; `--fresh` begins anew") from error
    save_damage(state_directory(), repository.name, report.damaged_objects)
    if report.damaged_objects:
        # Otherwise the next publish would find that the repository has all of it already.
        repository.forget_contents()
    if as_json:
        console.json(document(report))
    else:
        tell(console, report)
    trouble = report.error()
    if trouble is not None:
        raise trouble


def tell(console: Console, report: CheckReport) -> None:
    """The report for people: problems, then what was looked at."""
    for problem in report.problems:
        if problem.severity is Severity.NOTE:
            console.note(f"note: {problem}")
        else:
            console.result(f"{problem.severity.value}: {problem}")
    for remedy in _remedies(report):
        console.note(f"to mend it: {remedy}")
    if report.resumed:
        console.note("an earlier check that was interrupted was taken up")
    if report.superseded:
        console.warning("somebody published meanwhile: what is missing may be gone rightly; check again")
    if report.unreferenced:
        console.note(f"neither the current revision nor a tag refers to {counted(report.unreferenced, 'object')}")
    if report.is_clean:
        looked = ", ".join(
            (
                counted(report.revisions, "revision"),
                counted(report.catalogs, "catalog"),
                counted(report.entries, "entry", "entries"),
            )
        )
        console.result(
            f"{report.repository} is sound: {looked}, {counted(report.objects, 'object')}{_closeness(report)}"
        )


def document(report: CheckReport) -> dict[str, object]:
    """The report as JSON."""
    return {
        "repository": report.repository,
        "depth": report.depth.value,
        "clean": report.is_clean,
        "revision": report.revision,
        "root_catalog": str(report.root_catalog) if report.root_catalog else None,
        "revisions": report.revisions,
        "catalogs": report.catalogs,
        "entries": report.entries,
        "objects": report.objects,
        "bytes": report.bytes,
        "unreferenced": report.unreferenced,
        "resumed": report.resumed,
        "superseded": report.superseded,
        "problems": [problem_document(problem, report.repository) for problem in report.problems],
    }


def problem_document(problem: Problem, repository: str) -> dict[str, object]:
    """A problem as JSON."""

    def text(path: bytes | None) -> str | None:
        return None if path is None else path.decode("utf-8", "surrogateescape") or "/"

    return {
        "severity": problem.severity.value,
        "kind": problem.kind.label,
        "what": problem.detail,
        "path": text(problem.path),
        "catalog": text(problem.catalog),
        "name": problem.name or None,
        "remedy": problem.remedy(repository),
    }


def _remedies(report: CheckReport) -> list[str]:
    """How to mend what is wrong, each way once; the first is the error's own hint."""
    wrong = (problem for problem in report.problems if problem.severity is not Severity.NOTE)
    return list(dict.fromkeys(problem.remedy(report.repository) for problem in wrong))[1:]


def _closeness(report: CheckReport) -> str:
    if report.depth is Depth.CONTENT:
        return f", {counted(report.bytes, 'byte')} read"
    return " found; `--full` reads them"
