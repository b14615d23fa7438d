"""`outcrop mount`"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.client.address import RepositoryAddress
from outcrop.client.mount.kernel import HELPER, MountOptions, may_mount_directly
from outcrop.client.mount.mountinfo import mounts, our_mounts
from outcrop.client.mount.processes import (
    check_mountpoint,
    is_dead,
    require_free,
    serve_in_background,
    served,
    wait,
)
from outcrop.client.mount.repository_tree import RepositoryTree, open_mounted_tree
from outcrop.client.mount.server import serve
from outcrop.client.mount.unmounting import MountStatus, status
from outcrop.client.repository import CURRENT, ClientSettings, RevisionChoice
from outcrop.directories import state_directory
from outcrop.errors import InvalidValue, MissingCapability, OutcropError, UsageError

CUSTOMARY_PLACE = Path("/cvmfs")
_LAYERS = "layers (EROFS and overlayfs)"


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What is mounted where, and how."""

    address: RepositoryAddress
    choice: RevisionChoice
    mountpoint: Path
    settings: ClientSettings
    everyone: bool
    log: Path | None
    by_layers: bool

    @property
    def options(self) -> MountOptions:
        return MountOptions(self.address.name, self.mountpoint, self.everyone)

    def lines(self) -> list[str]:
        choice = self.choice
        revision = "the current revision"
        if choice.tag:
            revision = f"the tag {choice.tag}"
        elif choice.revision is not None:
            revision = f"revision {choice.revision}"
        elif choice.root_catalog is not None:
            revision = f"the root catalog {choice.root_catalog}"
        follows = "new revisions" if choice == CURRENT else "nothing: this revision stays"
        return [
            f"mount      {revision} of {self.address.name}",
            f"follows    {follows}",
            f"at         {self.mountpoint}",
            f"from       {', '.join(self.address.servers)}",
            f"trusting   {', '.join(str(key) for key in self.address.keys)}",
            f"for        {'all users' if self.everyone else 'this user alone'}",
            f"by         {_LAYERS if self.by_layers else 'mount(2)' if may_mount_directly() else HELPER}",
            f"log        {self.log or 'none'}",
        ]

    def open_tree(self) -> RepositoryTree:
        return open_mounted_tree(self.address, self.settings, self.choice)

    def serve(self, options: MountOptions, ready: Callable[[], None], log: Path | None) -> None:
        """Mounts and serves, in the process that is there for it."""
        if self.by_layers:
            # Nothing of it is needed, or imported, for a mount over FUSE.
            from outcrop.client.layered.server import LayeredService

            LayeredService(self.open_tree, self.settings.cache_directory, self.address.ownership)(options, ready, log)
        else:
            serve(self.open_tree, options, ready, log)

    def obstacle(self) -> OutcropError | None:
        """Why nothing can be mounted there, as things are."""
        if is_dead(self.mountpoint):
            return None
        try:
            require_free(self.mountpoint)
        except OutcropError as error:
            return error
        return None


@click.command(
    "mount",
    epilog=examples(
        "outcrop mount software.example.org                  # at /cvmfs/software.example.org",
        "outcrop mount http://localhost:8000/software.example.org ./stack --key software.example.org.pub",
        "outcrop mount software.example.org ./old --tag 2025.06",
        "outcrop mount --list",
    ),
)
@reading_options_with(required=False)
@click.argument("mountpoint", type=click.Path(path_type=Path), required=False)
@click.option("--everyone/--only-me", default=None, help="Who may look into it; everyone if root mounts.")
@click.option(
    "--by",
    type=click.Choice(["fuse", "layers"]),
    default="fuse",
    show_default=True,
    help="How it shows: by layers (root only) the kernel itself shows what is cached.",
)
@click.option("--foreground", is_flag=True, help="Stay until it is unmounted or interrupted.")
@click.option("--list", "listing", is_flag=True, help="Show what is mounted, and do nothing else.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    mountpoint: Path | None,
    everyone: bool | None,
    by: str,
    foreground: bool,
    listing: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Mount the repository REPO over FUSE at MOUNTPOINT, an empty directory (/cvmfs/FQRN by default).

    It is served in the background until `outcrop umount`, and goes on to new revisions of the repository; one that is
    asked for by --tag, --revision or --root-hash stays.
    """
    if listing:
        _list(console, [status(line) for line in our_mounts(mounts())], as_json)
        return
    if not reading.repository:
        raise UsageError(problem="which repository?", hint="`outcrop mount REPO [MOUNTPOINT]`, or `--list`")
    by_layers = by == "layers"
    if by_layers:
        _require_layers(everyone)
    address = reading.address(console)
    if not address.may_be_mounted:
        raise InvalidValue(
            what=f"the repository {address.name}",
            problem="is not among those that this site wants mounted",
            hint="`CVMFS_REPOSITORIES` with `CVMFS_STRICT_MOUNT=yes` says so; `outcrop ls` and `checkout` read it",
        )
    place = _place(mountpoint, address)
    plan = MountPlan(
        address=address,
        choice=reading.choice(),
        mountpoint=place,
        settings=reading.settings(),
        everyone=os.geteuid() == 0 if everyone is None else everyone,
        log=_log_path(place, address),
        by_layers=by_layers,
    )
    if dry_run:
        _tell_plan(console, plan, as_json)
        return
    if foreground:
        _stay(console, plan)
        return
    check_mountpoint(plan.mountpoint)
    running = serve_in_background(plan.serve, plan.options, plan.log)
    for note in running.notes:
        console.warning(note)
    if as_json:
        console.json({"mountpoint": str(running.mountpoint), "server": running.server})
        return
    console.note(f"{address.name} is mounted; `outcrop umount {shlex.quote(str(running.mountpoint))}` takes it away")
    console.result(str(running.mountpoint))


def _require_layers(everyone: bool | None) -> None:
    """Says why a mount by layers cannot be had."""
    if not may_mount_directly():
        raise MissingCapability(
            what="a mount by layers",
            problem="only root can mount an image",
            hint="leave out `--by layers`; `outcrop run` shows layers to users, too",
        )
    if everyone is False:
        raise UsageError(problem="what the kernel shows by layers is for everyone", hint="leave out `--only-me`")


def _stay(console: Console, plan: MountPlan) -> None:
    try:
        with served(plan.serve, plan.options, plan.log) as running:
            for note in running.notes:
                console.warning(note)
            console.note(f"{plan.address.name} is mounted at {plan.mountpoint}; Ctrl-C takes it away")
            wait(running)
    except KeyboardInterrupt:
        console.note(f"{plan.mountpoint} is not mounted any more")


def _place(mountpoint: Path | None, address: RepositoryAddress) -> Path:
    if mountpoint is not None:
        return Path(os.path.realpath(mountpoint))
    customary = CUSTOMARY_PLACE / address.name
    if customary.is_dir():
        return customary
    raise InvalidValue(
        what=f"the customary mountpoint {customary}",
        problem="does not exist",
        hint=f"make it (`mkdir -p {customary}` as root), or name a directory: `outcrop mount REPO MOUNTPOINT`",
    )


def _log_path(mountpoint: Path, address: RepositoryAddress) -> Path | None:
    """Where the server of `mountpoint` writes its log; None where nothing can be kept."""
    distinct = hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:8]
    path = state_directory() / "mounts" / f"{address.name}-{distinct}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return None
    return path


def _tell_plan(console: Console, plan: MountPlan, as_json: bool) -> None:
    if as_json:
        console.json(dict(line.split(None, 1) for line in plan.lines()))
        return
    for line in plan.lines():
        console.result(line)
    obstacle = plan.obstacle()
    if obstacle is not None:
        console.warning(
            f"it would not be mounted: {obstacle.message}" + (f" ({obstacle.hint})" if obstacle.hint else "")
        )


def _list(console: Console, found: Sequence[MountStatus], as_json: bool) -> None:
    if as_json:
        console.json([_document(mount) for mount in found])
        return
    rows = [
        (
            mount.fqrn,
            "?" if mount.revision is None else str(mount.revision),
            str(mount.server) if mount.server else "dead",
            str(mount.mountpoint),
        )
        for mount in found
    ]
    console.table(("REPOSITORY", "REVISION", "SERVER", "MOUNTPOINT"), rows)


def _document(mount: MountStatus) -> dict[str, object]:
    return {
        "repository": mount.fqrn,
        "revision": mount.revision,
        "root_hash": mount.root_hash,
        "server": mount.server,
        "mountpoint": str(mount.mountpoint),
    }
