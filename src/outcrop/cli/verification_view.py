"""How the results of a verification are told, to people and as JSON."""

from __future__ import annotations

from outcrop.cli.console import Console
from outcrop.cli.quantities import counted
from outcrop.compat.verify.report import Report, Result

_SHOWN = 20
"""How many findings of one check are shown to people; JSON has all."""


def tell_result(console: Console, result: Result) -> None:
    """Says what one check has found."""
    findings = result.checked.findings
    state = "ok" if result.passed else counted(len(findings), "finding")
    console.note(f"{result.name}: {result.checked.number:,} looked at, {state}, {result.seconds:.1f} s")
    if result.checked.skipped:
        left_out = ", ".join(f"{one.subject} ({one.problem})" for one in result.checked.skipped)
        console.note(f"  not looked at: {left_out}")
    for one in findings[:_SHOWN]:
        console.warning(f"{one.subject} {one.problem}")
    if len(findings) > _SHOWN:
        console.note(f"  and {len(findings) - _SHOWN:,} more")


def verification_document(report: Report) -> dict[str, object]:
    """All that was found, as JSON."""
    return {
        "passed": report.passed,
        "checks": [
            {
                "name": result.name,
                "number": result.checked.number,
                "passed": result.passed,
                "seconds": round(result.seconds, 2),
                "findings": [{"subject": one.subject, "problem": one.problem} for one in result.checked.findings],
                "skipped": [{"subject": one.subject, "problem": one.problem} for one in result.checked.skipped],
            }
            for result in report.results
        ],
    }
