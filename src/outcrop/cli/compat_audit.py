"""`outcrop compat audit`: which packages of a layer have known faults."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.audit.advisories import Affected, Severity, State, audit
from outcrop.compat.audit.feed import read_advisories
from outcrop.compat.lock import read_lock
from outcrop.compat.record import recorded_lock
from outcrop.directories import cache_directory
from outcrop.errors import InvalidValue
from outcrop.software.sources.download import Downloads

TRACKER = "https://security-tracker.debian.org/tracker/data/json"
"""Where Debian says what is known."""

_FAIL_ON = ("any", "fixable", "never")


@click.command(
    name="audit",
    epilog=examples(
        "outcrop compat audit versions/2026.06/compat/linux/x86_64",
        "outcrop compat audit --advisories tracker.json.xz layer.json  # no network",
        "outcrop compat audit --fail-on fixable layer.json   # only what can be mended",
    ),
)
@click.argument("layer", type=click.Path(path_type=Path, exists=True), metavar="LAYER|LOCK")
@click.option(
    "--advisories",
    metavar="FILE|URL",
    help="The data of Debian's security tracker; by default what its server has now.",
)
@click.option("--all", "show_all", is_flag=True, help="Show faults that are judged unimportant, too.")
@click.option(
    "--fail-on", type=click.Choice(_FAIL_ON), default="any", show_default=True, help="Which faults make it fail."
)
@json_option
@click.pass_obj
def command(console: Console, layer: Path, advisories: str | None, show_all: bool, fail_on: str, as_json: bool) -> None:
    """Compare a layer with what is known of faults.

    LAYER is a layer's directory, or a lock. Every fault of a shipped package is listed with its severity and the
    version that mends it. Faults that Debian judges unimportant do not count. Python's wheels are not looked at.
    """
    lock = read_lock(layer) if layer.is_file() else recorded_lock(Path(os.path.realpath(layer)))
    place = advisories or TRACKER
    found = audit(lock, read_advisories(place, Downloads(cache_directory() / "partial")), place)
    serious = [one for one in found if one.severity is not Severity.UNIMPORTANT and one.state is not State.UNDETERMINED]
    fixable = [one for one in serious if one.state is State.FIXABLE]
    if as_json:
        console.json(
            {
                "release": lock.release,
                "family": lock.family,
                "affected": len(serious),
                "fixable": len(fixable),
                "faults": [_document(one) for one in found],
                "not_looked_at": [wheel.file for wheel in lock.wheels],
            }
        )
    else:
        _show(console, found if show_all else tuple(serious))
        sources = len({one.source for one in serious})
        console.note(
            f"{counted(len(serious), 'fault')} in {counted(sources, 'source package')}, "
            f"{len(fixable)} of them can be mended by an update"
        )
        if lock.wheels:
            wheels = ", ".join(f"{wheel.name} {wheel.version}" for wheel in lock.wheels)
            console.note(f"not looked at: Python's wheels ({wheels}), of which Debian's data say nothing")
    if (fail_on == "any" and serious) or (fail_on == "fixable" and fixable):
        raise InvalidValue(
            what=str(layer),
            problem=f"has {counted(len(serious), 'known fault')}, of which {len(fixable)} can be mended",
            hint="`outcrop compat update --security` makes a lock with what can be mended; `--fail-on fixable` counts "
            "only that",
        )


def _show(console: Console, found: tuple[Affected, ...]) -> None:
    if found:
        console.table(
            ("FAULT", "SOURCE", "HAS", "MENDED IN", "SEVERITY", "STATE"),
            [
                (one.fault, one.source, one.version, one.fixed or "-", one.severity.value, one.state.value)
                for one in found
            ],
        )


def _document(one: Affected) -> dict[str, object]:
    return {
        "fault": one.fault,
        "source": one.source,
        "version": one.version,
        "packages": list(one.packages),
        "severity": one.severity.name.lower(),
        "state": one.state.name.lower(),
        "fixed": one.fixed,
        "description": one.description,
    }
