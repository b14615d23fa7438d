"""`outcrop compat verify`: prove that a layer is what it promises."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from outcrop.cli.compat_options import declared_layer, recorded_sets_option
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.verification_view import tell_result, verification_document
from outcrop.compat.record import require_record
from outcrop.compat.verify.layer import verify_layer
from outcrop.compat.verify.recorded import recorded_verification
from outcrop.errors import InvalidValue


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
    description = declared_layer(require_record(tree), stack_directory)
    layer = recorded_verification(tree, description)
    started = time.monotonic()
    report = verify_layer(layer, lambda result: None if as_json else tell_result(console, result))
    if as_json:
        console.json(verification_document(report))
    else:
        seconds = time.monotonic() - started
        verdict = "all checks passed" if report.passed else "the layer is not what it promises"
        console.result(f"{tree}: {verdict}, in {seconds:.0f} s")
    if not report.passed:
        raise InvalidValue(
            what=str(path), problem="did not pass verification", hint="the findings above say what is wrong"
        )
