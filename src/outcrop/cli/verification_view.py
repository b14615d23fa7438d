"""How the results of a verification are told, to people and as JSON, and what a machine may do without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from outcrop.cli.console import Console
from outcrop.cli.quantities import counted
from outcrop.compat.verify.report import Means, Report, Result
from outcrop.errors import InvalidValue, MissingCapability

Command = TypeVar("Command", bound=Callable[..., Any])

_SHOWN = 20
"""How many findings of one check are shown to people; JSON has all."""


def without_option(command: Command) -> Command:
    """`--without`: what is not proven, since this machine may lack it. The command gets it as `without`, a set of
    Means."""
    return click.option(
        "--without",
        multiple=True,
        type=click.Choice([str(means) for means in Means]),
        callback=lambda _context, _option, names: frozenset(Means(name) for name in names),
        help="Leave out what needs this, which the machine may lack. May be given again.",
    )(command)


def tell_result(console: Console, result: Result) -> None:
    """Says what one check has found."""
    findings = result.checked.findings
    state = "not made" if result.not_made else "ok" if result.passed else counted(len(findings), "finding")
    console.note(f"{result.name}: {result.checked.number:,} looked at, {state}, {result.seconds:.1f} s")
    if result.not_made and result.passed:
        console.note(f"  {result.not_made}")
    if result.checked.skipped:
        left_out = ", ".join(f"{one.subject} ({one.problem})" for one in result.checked.skipped)
        console.note(f"  not looked at: {left_out}")
    for one in findings[:_SHOWN]:
        console.warning(f"{one.subject} {one.problem}")
    if len(findings) > _SHOWN:
        console.note(f"  and {len(findings) - _SHOWN:,} more")


def failure(path: Path, report: Report, therefore: str = "") -> InvalidValue | MissingCapability:
    """Why the layer at `path`, which did not pass, is not accepted; `therefore` says what comes of it."""
    if not report.lacks:
        return InvalidValue(
            what=str(path),
            problem=f"did not pass verification{therefore}",
            hint="the findings above say what is wrong",
        )
    words = " ".join(f"--without {means}" for means in report.lacks)
    return MissingCapability(
        what="a part of the proof",
        problem=f"this machine lacks {', '.join(report.lacks)}{therefore}",
        hint=f"install what is missing, as the findings say; or `{words}` accepts that it is not proven",
    )


def verification_document(report: Report) -> dict[str, object]:
    """All that was found, as JSON."""
    return {
        "passed": report.passed,
        "not_proven": [result.name for result in report.unproven],
        "checks": [
            {
                "name": result.name,
                "number": result.checked.number,
                "passed": result.passed,
                "not_made": result.not_made,
                "seconds": round(result.seconds, 2),
                "findings": [{"subject": one.subject, "problem": one.problem} for one in result.checked.findings],
                "skipped": [{"subject": one.subject, "problem": one.problem} for one in result.checked.skipped],
            }
            for result in report.results
        ],
    }
