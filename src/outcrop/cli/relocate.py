"""`outcrop relocate`"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.client.relocate.changes import Finding, Reason
from outcrop.client.relocate.plan import RelocationPlan, plan_relocation
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.proof import Proof, prove
from outcrop.client.relocate.proof_view import OldPrefix
from outcrop.client.relocate.relocation import check_link, files_by_kind, make_link, relocate
from outcrop.errors import InvalidValue, UsageError

_FINDINGS_SHOWN = 10
"""More are in the record; `--json` lists all."""


@click.command(
    "relocate",
    epilog=examples(
        "outcrop relocate /scratch/soft --from /cvmfs/software.example.org",
        "outcrop relocate ./soft --from /cvmfs/software.example.org --to /scratch/soft    # to be moved there",
        "outcrop relocate /a/very/long/path/soft --from /cvmfs/software.example.org --link /tmp/soft",
        "outcrop relocate /scratch/soft --prove -- /scratch/soft/bin/tool --version",
    ),
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("command_line", metavar="[-- CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--from", "original", metavar="PREFIX", help="What DIR was built for; a relocated DIR knows.")
@click.option("--to", "target", metavar="PATH", help="Where DIR will be, if not where it is.")
@click.option("--link", metavar="PATH", help="Compile this short path in, and make it a symbolic link to DIR.")
@click.option("--prove", "proving", is_flag=True, help="Run CMD and show that it does without the old prefix.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    directory: Path,
    command_line: Sequence[str],
    original: str | None,
    target: str | None,
    link: str | None,
    proving: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the copied tree DIR run from where it is, though it was built for the prefix PREFIX.

    Text, symbolic links, interpreters, run paths and compiled-in paths get the new prefix; what is compiled in keeps
    its length, so the new one must not be longer. DIR is changed in place. It notes what was changed, so it can be
    relocated again, and back.
    """
    check_proof(proving, command_line, dry_run)
    place = Path(target or directory).absolute()
    compiled_in = prefix(link, "the link") if link else prefix(str(place), "the path")
    if link:
        check_link(compiled_in, place)
    built_for = None if original is None else prefix(original)
    plan = plan_relocation(directory, built_for, compiled_in, console.progress())
    if not dry_run:
        relocate(plan, console.progress(), link=compiled_in if link else None)
        if link:
            make_link(compiled_in, place)
    if not as_json:
        tell_relocation(console, plan, plan.tree, dry_run)
    proof = _run_proof(console, plan, command_line) if proving else None
    if as_json:
        console.json({"directory": str(plan.tree), **relocation_document(plan, dry_run, proof)})
    elif proof is not None:
        tell_proof(console, proof, plan.original)


def check_proof(proving: bool, command_line: Sequence[str], dry_run: bool) -> None:
    """Refuses a `--prove` without a command, a command without `--prove`, and a proof of nothing."""
    if proving and dry_run:
        raise UsageError(problem="`--prove` runs what was relocated, and `--dry-run` relocates nothing")
    if proving and not command_line:
        raise UsageError(problem="`--prove` wants a command to run", hint="add it at the end: `--prove -- CMD ARG…`")
    if command_line and not proving:
        raise UsageError(problem="a command is only run with `--prove`", hint="add `--prove` before the `--`")


def _run_proof(console: Console, plan: RelocationPlan, command_line: Sequence[str]) -> Proof:
    """Proves what `plan` has done. InvalidValue while the tree is not where it was relocated to."""
    here = Path(str(plan.target))
    if not here.exists() or not here.samefile(plan.tree):
        raise InvalidValue(
            what=str(plan.tree),
            problem=f"was relocated to {here}, and is not there, so nothing can be proven yet",
            hint=f"`mv {shlex.join((str(plan.tree), str(here)))}`, then "
            f"`outcrop relocate {shlex.quote(str(here))} --prove -- …`",
        )
    console.flush()
    # The program's output is not our answer.
    return prove(command_line, plan.original, plan.tree, output=sys.stderr.fileno(), progress=console.progress())


def tell_relocation(console: Console, plan: RelocationPlan, place: Path, dry_run: bool) -> None:
    """What `plan` changes in `place`, by kind, and what it leaves."""
    files = files_by_kind(plan)
    rows = [(kind.value, f"{places:,}", f"{files[kind]:,}") for kind, places in plan.counts.items()]
    console.table(("KIND", "PLACES", "FILES"), rows)
    verb = "would be changed" if dry_run else "changed"
    pending = len(plan.pending)
    console.note(
        f"{place}: {plan.original} to {plan.target}, {counted(pending, 'file')} of {plan.files:,} {verb}"
        if pending
        else f"{place} runs from {plan.target} already: nothing to change"
    )
    for finding in plan.findings[:_FINDINGS_SHOWN]:
        console.warning(_sentence(finding))
    more = len(plan.findings) - _FINDINGS_SHOWN
    if more > 0:
        console.warning(f"{counted(more, 'more remark')} like these; `--json` has all")


def _sentence(finding: Finding) -> str:
    times = f" ({counted(finding.count, 'time')})" if finding.count > 1 else ""
    detail = f" [{finding.detail}]" if finding.detail else ""
    name = os.fsdecode(finding.path)
    match finding.reason:
        case Reason.HASHED_BYTECODE | Reason.UNSEARCHED | Reason.CLIMBING_LINK:
            return f"{name} {finding.reason.value}{detail}"
        case _:
            return f"{name}: the old prefix {finding.reason.value}{times}{detail}"


def tell_proof(console: Console, proof: Proof, original: Prefix) -> None:
    """What was proven."""
    seen = {
        OldPrefix.ABSENT: "which does not exist here",
        OldPrefix.HIDDEN: "which was hidden from it",
        OldPrefix.VISIBLE: "which it could see",
    }[proof.old_prefix]
    console.result(
        f"proven: {proof.command[0]} found {counted(proof.files, 'file')} of the tree and asked for nothing below "
        f"{original}, {seen}"
    )


def relocation_document(plan: RelocationPlan, dry_run: bool, proof: Proof | None) -> dict[str, object]:
    """All of that for `--json`."""
    return {
        "from": str(plan.original),
        "to": str(plan.target),
        "dry_run": dry_run,
        "files": plan.files,
        "bytes": plan.size,
        "changed_now": len(plan.pending),
        "places": {kind.value: places for kind, places in plan.counts.items()},
        "changes": [
            {
                "path": os.fsdecode(planned.change.path),
                "style": planned.change.style.value,
                "places": {kind.value: number for kind, number in planned.change.counts().items()},
            }
            for planned in plan.changes
        ],
        "remarks": [
            {
                "path": os.fsdecode(finding.path),
                "reason": finding.reason.name.lower(),
                "count": finding.count,
                "detail": finding.detail,
                "left_behind": finding.reason.left_behind,
            }
            for finding in plan.findings
        ],
        "proof": None
        if proof is None
        else {
            "command": list(proof.command),
            "old_prefix": proof.old_prefix.value,
            "files": proof.files,
            "programs": proof.programs,
        },
    }
