"""`outcrop compat verify`: prove that a layer is what it promises."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable
from pathlib import Path

import click

from outcrop.cli.compat_options import chosen_description, chosen_directory, sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.layout import LayerLayout
from outcrop.compat.owners import GENERATED
from outcrop.compat.package_sets import wanted_names, wanted_programs
from outcrop.compat.record import recorded_layout, recorded_lock, recorded_origin
from outcrop.compat.verify.choices import choices_for
from outcrop.compat.verify.contents import BuildMachine
from outcrop.compat.verify.layer import Verification, verify_layer
from outcrop.compat.verify.report import Means, Report, Result
from outcrop.directories import cache_directory
from outcrop.errors import InvalidValue, MissingCapability

_SHOWN = 20
"""How many findings of one check are shown to people; JSON has all."""

_SCRATCH = "/outcrop-compat-"
"""Where layers are built."""

_TELLING = re.compile(r"/[^/]+/.+|(?!localhost|/)(?=.*[0-9.-]).{6,}")
"""Paths and names that no package has in its texts by chance."""


@click.command(
    name="verify",
    epilog=examples(
        "outcrop compat verify /data/software.example.org/versions/2026.06/compat/linux/x86_64",
        "outcrop compat verify --json versions/2026.06/compat/linux/x86_64   # all that was found",
        "outcrop compat verify --without qemu versions/2026.06/compat/linux/x86_64   # not on old processors",
    ),
)
@click.argument("path", type=click.Path(path_type=Path, file_okay=False, exists=True))
@sets_option
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([str(means) for means in Means]),
    help="Leave out what needs this, which the machine may lack. May be given again.",
)
@json_option
@click.pass_obj
def command(
    console: Console, path: Path, stack_directory: Path | None, without: tuple[str, ...], as_json: bool
) -> None:
    """Prove that a layer is what it promises.

    Its files are those of its record, from the packages that its sets want; nothing has special rights; no program has
    instructions that the family's oldest processor lacks, unless it is known to choose; every program starts and small
    jobs are done, in a root that holds nothing else, on a hostile host, and on the oldest processor as QEMU plays it;
    and a tracer sees no file of the host asked for but those that are declared.

    What cannot be looked at is no proof, so the layer does not pass: where the machine lacks strace, QEMU, musl with
    BusyBox, or the decoder of instructions, --without accepts that, and the verdict says what is not proven.
    """
    tree = Path(os.path.realpath(path))
    layer = wanted_of(tree, stack_directory, without)
    started = time.monotonic()
    report = verify_layer(layer, lambda result: None if as_json else _show(console, result))
    if as_json:
        console.json(_document(report))
    else:
        console.result(f"{tree}: {report.verdict}, in {time.monotonic() - started:.0f} s")
    if not report.passed:
        raise failure(path, report)


def wanted_of(tree: Path, stack_directory: Path | None, without: Iterable[str] = ()) -> Verification:
    """What is to be proven of the layer `tree`: what its record and the sets in the stack's directory say of it."""
    origin = recorded_origin(tree)
    description = chosen_description(stack_directory)
    layout = recorded_layout(tree)
    sets = [one for one in description.sets if one.name in origin.sets and one.ships]
    return Verification(
        tree=tree,
        layout=layout,
        lock=None if origin.back_end else recorded_lock(tree),
        packages=tuple(sorted(wanted_names(sets, layout.family, origin.release))),
        programs=wanted_programs(sets, layout.family, origin.release),
        host_links=description.host_links,
        choices=choices_for(layout.family, chosen_directory(stack_directory)),
        machine=_this_machine(tree, layout, None if origin.back_end else GENERATED),
        without=frozenset(Means(name) for name in without),
    )


def _this_machine(tree: Path, layout: LayerLayout, made: re.Pattern[str] | None) -> BuildMachine:
    """What a layer would have in it of the machine that built it, if that was this one."""
    places = (_SCRATCH, str(tree), str(cache_directory()))
    names = (str(Path.home()), platform.node())
    return BuildMachine(
        tuple(place for place in places if place != str(layout.prefix)),
        tuple(name for name in names if _TELLING.fullmatch(name)),
        made,
    )


def failure(path: Path, report: Report) -> InvalidValue | MissingCapability:
    """Why the layer at `path`, which did not pass, is not accepted."""
    if not report.lacks:
        return InvalidValue(
            what=str(path), problem="did not pass verification", hint="the findings above say what is wrong"
        )
    words = " ".join(f"--without {means}" for means in report.lacks)
    return MissingCapability(
        what="a part of the proof",
        problem=f"this machine lacks {', '.join(report.lacks)}",
        hint=f"install what is missing, as the findings say; or `{words}` accepts that it is not proven",
    )


def _show(console: Console, result: Result) -> None:
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


def _document(report: Report) -> dict[str, object]:
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
