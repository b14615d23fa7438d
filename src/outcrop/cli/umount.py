"""`outcrop umount`"""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples
from outcrop.client.mount.mountinfo import mounts
from outcrop.client.mount.unmounting import end_mount, mounts_to_end, users_of
from outcrop.errors import OutcropError, UsageError


@click.command(
    "umount",
    epilog=examples(
        "outcrop umount /cvmfs/software.example.org",
        "outcrop umount software.example.org",
        "outcrop umount http://server.example.org/cvmfs/software.example.org",
        "outcrop umount --lazy ./stack          # from sight now, for good when nobody uses it any more",
        "outcrop umount --all",
    ),
)
@click.argument("target", metavar="MOUNTPOINT|REPO", required=False)
@click.option("--lazy", is_flag=True, help="Take it from sight though it is in use; do not wait.")
@click.option("--all", "every", is_flag=True, help="Unmount everything that outcrop has mounted.")
@dry_run_option
@click.pass_obj
def command(console: Console, *, target: str | None, lazy: bool, every: bool, dry_run: bool) -> None:
    """Unmount what is mounted at MOUNTPOINT, or every mount of REPO, and wait until it is gone.

    What an open transaction of a publisher stands on is left where it is, unless MOUNTPOINT names it.
    """
    if every == bool(target):
        raise UsageError(problem="what is to be unmounted?", hint="name a MOUNTPOINT or a REPO, or say `--all`")
    chosen = mounts_to_end(target, mounts())
    for line in chosen.left:
        console.note(f"{line.mountpoint} is left to the open transaction that stands on it")
    kept: OutcropError | None = None
    for line in chosen.ended:
        place = Path(line.mountpoint)
        users = list(users_of(place)) if lazy or dry_run else []
        if dry_run:
            console.result(f"unmount {line.mountpoint} ({line.repository}){' from sight' if lazy else ''}")
            for user in users:
                console.result(f"  used by {user}")
            continue
        try:
            end_mount(line, lazy=lazy)
        except OutcropError as error:
            # One that is in use keeps none of the others.
            kept = kept or error
        else:
            console.note(f"{line.mountpoint} is not mounted any more")
            if users:
                console.note(f"it goes for good when they end: {', '.join(users)}")
    if kept is not None:
        raise kept
