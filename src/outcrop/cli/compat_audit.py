"""`outcrop compat audit`: which packages of a layer have known faults."""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.compat.audit.advisories import Audit, audit, interest_in
from outcrop.compat.audit.faults import DEBIAN, Affected, State
from outcrop.compat.audit.feed import read_advisories
from outcrop.compat.lock import Lock, read_lock
from outcrop.compat.record import recorded_lock
from outcrop.directories import cache_directory
from outcrop.errors import InvalidValue
from outcrop.software.sources.download import Downloads

_HINT = (
    "`outcrop compat update --security` makes a lock with what can be mended of Debian's packages; a set names a newer "
    "wheel; `--fail-on fixable` counts only what can be mended"
)
_NOTHING_TO_DO = "Debian has no newer packages yet that mend them; `--fail-on fixable` counts only what can be mended"

TRACKER_ADDRESS = "https://security-tracker.debian.org/tracker/data/json"
"""Where Debian says what is known."""

_FAIL_ON = ("any", "fixable", "never")
_SHOWN = 10

advisories_option = click.option(
    "--advisories",
    multiple=True,
    metavar="FILE|DIR|URL",
    help="The data of Debian's security tracker, or records of OSV; by default what the tracker has now. May be given "
    "again.",
)


@click.command(
    name="audit",
    epilog=examples(
        "outcrop compat audit versions/2026.06/compat/linux/x86_64",
        "outcrop compat audit --advisories tracker.json.xz layer.json  # no network",
        "outcrop compat audit --advisories tracker.json --advisories pypi.zip layer.json",
        "outcrop compat audit --fail-on fixable layer.json   # only what can be mended",
    ),
)
@click.argument("layer", type=click.Path(path_type=Path, exists=True), metavar="LAYER|LOCK")
@advisories_option
@click.option("--all", "show_all", is_flag=True, help="Show faults that are judged unimportant, too.")
@click.option(
    "--fail-on", type=click.Choice(_FAIL_ON), default="any", show_default=True, help="Which faults make it fail."
)
@json_option
@click.pass_obj
def command(
    console: Console, layer: Path, advisories: tuple[str, ...], show_all: bool, fail_on: str, as_json: bool
) -> None:
    """Compare a layer with what is known of faults.

    LAYER is a layer's directory, or a lock. Every fault of a shipped package or wheel is listed with its severity and
    the version that mends it. Advisories are Debian's tracker's, OSV's, or both: a zip archive, a directory or a file
    of records. Where both know a fault of a Debian package, the tracker's word counts; of Python's wheels only OSV
    knows. Faults that Debian judges unimportant do not count.
    """
    lock = read_lock(layer) if layer.is_file() else recorded_lock(Path(os.path.realpath(layer)))
    audited = audit_lock(lock, advisories)
    serious = audited.serious
    fixable = [one for one in serious if one.state is State.FIXABLE]
    if as_json:
        console.json(
            {
                "release": lock.release,
                "family": lock.family,
                "affected": len(serious),
                "fixable": len(fixable),
                "faults": [_document(one) for one in audited.found],
                "denied": [_document(one) for one in audited.denied],
                "packages_looked_at": audited.packages_looked_at,
                "not_looked_at": [wheel.file for wheel in audited.not_looked_at],
            }
        )
    else:
        _show(console, audited, audited.found if show_all else serious)
    if (fail_on == "any" and serious) or (fail_on == "fixable" and fixable):
        raise InvalidValue(
            what=str(layer),
            problem=f"has {counted(len(serious), 'known fault')}, of which {len(fixable)} can be mended",
            hint=_HINT if fixable else _NOTHING_TO_DO,
        )


def audit_lock(lock: Lock, advisories: tuple[str, ...]) -> Audit:
    """What `advisories`, or else Debian's tracker as it is now, say of `lock`."""
    places = advisories or (TRACKER_ADDRESS,)
    found = read_advisories(places, interest_in(lock), Downloads(cache_directory() / "partial"))
    return audit(lock, found, " and ".join(places))


def _show(console: Console, audited: Audit, shown: tuple[Affected, ...]) -> None:
    if shown:
        console.table(
            ("FAULT", "SOURCE", "HAS", "MENDED IN", "SEVERITY", "STATE", "SAID BY"),
            [
                (one.fault, one.source, one.version, one.fixed or "-", _severity(one), one.state.value, one.said_by)
                for one in shown
            ],
        )
    serious = audited.serious
    fixable = sum(one.state is State.FIXABLE for one in serious)
    sources = len({(one.ecosystem, one.source) for one in serious})
    console.note(
        f"{counted(len(serious), 'fault')} in {counted(sources, 'source package')}, "
        f"{fixable} of them can be mended by an update"
    )
    if audited.denied:
        told = ", ".join(f"{one.fault} in {one.source}" for one in audited.denied[:_SHOWN])
        more = f" and {len(audited.denied) - _SHOWN:,} more" if len(audited.denied) > _SHOWN else ""
        console.note(f"not counted, since Debian's tracker denies what OSV says: {told}{more}")
    if any(one.said_by.startswith("OSV") and one.ecosystem == DEBIAN for one in shown):
        console.note("OSV does not say what Debian has put off or will not fix: its tracker does (`--advisories`)")
    if not audited.packages_looked_at:
        console.warning("not looked at: Debian's packages, of which these advisories say nothing")
    if audited.not_looked_at:
        wheels = ", ".join(f"{wheel.name} {wheel.version}" for wheel in audited.not_looked_at)
        console.note(f"not looked at: Python's wheels ({wheels}), of which OSV's records of PyPI would say something")


def _severity(one: Affected) -> str:
    return one.severity.value if one.score is None else f"{one.severity.value} (CVSS {one.score:.1f})"


def _document(one: Affected) -> dict[str, object]:
    return {
        "fault": one.fault,
        "ecosystem": one.ecosystem,
        "source": one.source,
        "version": one.version,
        "packages": list(one.packages),
        "severity": one.severity.name.lower(),
        "state": one.state.name.lower(),
        "fixed": one.fixed,
        "description": one.description,
        "said_by": one.said_by,
        "cvss": one.score,
        "vector": one.vector,
    }
