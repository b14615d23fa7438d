"""`outcrop compat verify`: prove that a layer is what it promises."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from outcrop.cli.compat_options import declared_layer, recorded_sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.package_sets import wanted_names, wanted_programs
from outcrop.compat.record import recorded_layout, recorded_lock, recorded_origin, require_record
from outcrop.compat.verify.choices import choices_for
from outcrop.compat.verify.layer import Verification, verify_layer
from outcrop.compat.verify.report import Report, Result
from outcrop.errors import InvalidValue

_SHOWN = 20
"""How many findings of one check are shown to people; JSON has all."""


@click.command(
    name="verify",
    epilog=examples(
        "outcrop compat verify /data/software.example.org/versions/2026.06/compat/linux/x86_64",
        "outcrop compat verify --json versions/2026.06/compat/linux/x86_64   # all that was found",
    ),
)
@click.argument("path", type=click.Path(path_type=Path, file_okay=False, exists=True))
@recorded_sets_option
@json_option
@click.pass_obj
def command(console: Console, path: Path, stack_directory: Path | None, as_json: bool) -> None:
    """Prove that a layer is what it promises.

    Its files are those of its record, from the packages that its sets want, as the record has them; nothing has special
    rights; no program has instructions that the family's oldest processor lacks, unless it is known to choose; every
    program starts and small jobs are done, in a root that holds nothing else, on a hostile host, and on the oldest
    processor as QEMU plays it; and a tracer sees no file of the host asked for but those that are declared.
    """
    tree = Path(os.path.realpath(path))
    origin = recorded_origin(tree)
    description = declared_layer(require_record(tree), stack_directory)
    layout = recorded_layout(tree)
    sets = [one for one in description.sets if one.name in origin.sets and one.ships]
    layer = Verification(
        tree=tree,
        layout=layout,
        lock=None if origin.back_end else recorded_lock(tree),
        packages=tuple(sorted(wanted_names(sets, layout.family, origin.release))),
        undeclared=tuple(sorted(set(origin.sets) - {one.name for one in description.sets})),
        programs=wanted_programs(sets, layout.family, origin.release),
        host_links=description.host_links,
        locales=description.locales,
        choices=choices_for(layout.family, description.instructions),
        build_places=("/outcrop-compat-",),
    )
    started = time.monotonic()
    report = verify_layer(layer, lambda result: None if as_json else _show(console, result))
    if as_json:
        console.json(_document(report))
    else:
        seconds = time.monotonic() - started
        verdict = "all checks passed" if report.passed else "the layer is not what it promises"
        console.result(f"{tree}: {verdict}, in {seconds:.0f} s")
    if not report.passed:
        raise InvalidValue(
            what=str(path), problem="did not pass verification", hint="the findings above say what is wrong"
        )


def _show(console: Console, result: Result) -> None:
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


def _document(report: Report) -> dict[str, object]:
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
