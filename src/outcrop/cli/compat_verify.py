"""`outcrop compat verify`: prove that a layer is what it promises."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from outcrop.cli.compat_options import declared_layer, recorded_sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.verification_view import failure, tell_result, verification_document, without_option
from outcrop.compat.record import require_record
from outcrop.compat.verify.layer import verify_layer
from outcrop.compat.verify.recorded import recorded_verification
from outcrop.compat.verify.report import Means


@click.command(
    name="verify",
    epilog=examples(
        "outcrop compat verify /data/software.example.org/versions/2026.06/compat/linux/x86_64",
        "outcrop compat verify --json versions/2026.06/compat/linux/x86_64   # all that was found",
        "outcrop compat verify --without qemu versions/2026.06/compat/linux/x86_64   # not on old processors",
        "outcrop compat verify --beside /srv/alpine-aarch64 versions/2026.06/compat/linux/aarch64",
    ),
)
@click.argument("path", type=click.Path(path_type=Path, file_okay=False, exists=True))
@recorded_sets_option
@without_option
@click.option(
    "--beside",
    "systems",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Also with the files of another system, whose root is DIR. May be given again.",
)
@json_option
@click.pass_obj
def command(
    console: Console,
    path: Path,
    stack_directory: Path | None,
    without: frozenset[Means],
    systems: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Prove that a layer is what it promises.

    Its files are those of its record, from the packages that its sets want, as the record has them; nothing has special
    rights; no program has instructions that the family's oldest processor lacks, unless it is known to choose; every
    program starts and small jobs are done, in a root that holds nothing else, on a hostile host, and on the oldest
    processor as QEMU plays it; and a tracer sees no file of the host asked for but those that are declared.

    What cannot be looked at is no proof, so the layer does not pass: where the machine lacks strace, QEMU, musl with
    BusyBox, or the decoder of instructions, --without accepts that, and the verdict says what is not proven. A system
    with musl that --beside names takes the place of the machine's, such as Alpine Linux for the layer's family.
    """
    tree = Path(os.path.realpath(path))
    declared = declared_layer(require_record(tree), stack_directory)
    layer = recorded_verification(tree, declared, without, [Path(os.path.realpath(one)) for one in systems])
    started = time.monotonic()
    report = verify_layer(layer, lambda result: None if as_json else tell_result(console, result))
    if as_json:
        console.json(verification_document(report))
    else:
        console.result(f"{tree}: {report.verdict}, in {time.monotonic() - started:.0f} s")
    if not report.passed:
        raise failure(path, report)
