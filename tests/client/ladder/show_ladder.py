"""Shows the whole ladder on this machine: `python -m tests.client.ladder.show_ladder`, as root.

A small repository is published and served. Then the same program of it runs on machines that allow less and less, and
on each the better ways are named with the reason against them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from outcrop.client.ladder.ways import Way
from tests.client.ladder.confined import NOBODY, Report
from tests.client.ladder.site import PREFIX, Site, open_site, reason_against_machines

_SHOW = f"{PREFIX}/bin/show"
_MACHINES = (
    ("a machine with FUSE and namespaces", True, True),
    ("FUSE is forbidden: there is no /dev/fuse", False, True),
    ("namespaces and mounts are forbidden too, by a filter of system calls", False, False),
)


def main() -> int:
    reason = reason_against_machines()
    if reason:
        _say(reason)
        return 1
    with tempfile.TemporaryDirectory(prefix="outcrop-ladder-") as directory, open_site(Path(directory)) as site:
        failures = [told for told, fuse, namespaces in _MACHINES if not _shown(site, told, fuse, namespaces)]
    return 1 if failures else 0


def _shown(site: Site, told: str, fuse: bool, namespaces: bool) -> bool:
    _say(f"== {told}")
    best = site.on_a_machine(site.run(_SHOW, options=["--explain"]), user=NOBODY, fuse=fuse, namespaces=namespaces)
    _tell(best)
    for way in Way:
        report = site.on_a_machine(
            site.run(_SHOW, options=["--way", way.value]), user=NOBODY, fuse=fuse, namespaces=namespaces
        )
        outcome = "works" if report.code == 0 else report.complaint.splitlines()[0].removeprefix("error: ")
        _say(f"   {way.value:11} {outcome}")
    return best.code == 0


def _tell(report: Report) -> None:
    for line in (*report.complaint.splitlines(), *report.output.splitlines()):
        _say(f"   | {line}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
