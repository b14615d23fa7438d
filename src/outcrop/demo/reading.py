"""How the demonstration shows the repository to a program: where it can be read, and where it appears.

*Read* through a mount over FUSE; where the machine allows none, from a checkout, without any daemon.
*Appear* at `/cvmfs/<repository>` in a view of this machine that only the demonstration's programs see; where the
machine allows no such view, at a place of the demonstration's own, for which the stack is then built.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.client.address import RepositoryAddress
from outcrop.client.checkout import checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.mount.processes import mounted
from outcrop.client.mount.repository_tree import RepositoryTree
from outcrop.client.repository import ClientSettings, open_repository
from outcrop.cvmfs.names import RepositoryName
from outcrop.demo.telling import Story
from outcrop.demo.workshop import Workshop
from outcrop.errors import MissingCapability, storage_error
from outcrop.software.layout import DEFAULT_MOUNT_ROOT
from outcrop.software.sandbox import Bind, LocalHost, View, arguments, ensure_available


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the repository appears to programs. `bubblewrap` is empty where it appears without a view."""

    mount_root: PurePosixPath
    repository: RepositoryName
    bubblewrap: str

    @property
    def place(self) -> PurePosixPath:
        return self.mount_root / self.repository

    def command(self, source: Path, command: Sequence[str]) -> list[str]:
        """What to run so that `command` sees `source` at `place`."""
        if not self.bubblewrap:
            return list(command)
        view = View(binds=(Bind(source, self.place),))
        return arguments(view, command, LocalHost(), self.bubblewrap)


def choose_stage(workshop: Workshop, repository: RepositoryName, story: Story) -> Stage:
    """`/cvmfs` in a view of our own where this machine can make one, else a place below the demonstration."""
    try:
        trial = View(binds=(Bind(workshop.home, DEFAULT_MOUNT_ROOT / repository),))
        return Stage(DEFAULT_MOUNT_ROOT, repository, ensure_available(trial, LocalHost()))
    except MissingCapability as error:
        root = workshop.own_mount_root
        story.say(f"{error.message}: the stack is built for {root} instead of {DEFAULT_MOUNT_ROOT}")
        return Stage(PurePosixPath(root), repository, "")


def appear(stage: Stage, source: Path) -> None:
    """Lets `source` be what is at `stage.place`, where no view does that."""
    if stage.bubblewrap:
        return
    place = Path(stage.place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = place.with_name(f".{place.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(source)
        temporary.rename(place)
    except OSError as error:
        raise storage_error(error) from error


@contextmanager
def readable(
    workshop: Workshop, address: RepositoryAddress, stage: Stage, story: Story, *, without_mount: bool
) -> Iterator[Path]:
    """Where the repository at `address` can be read during the block, with nothing of it in any cache before."""
    settings = ClientSettings(
        cache=workshop.client_cache, cache_directory=workshop.run, state_directory=workshop.run / "state"
    )
    if not without_mount:
        try:
            with _mounted(workshop, address, settings) as place:
                appear(stage, place)
                story.say(f"{address.name} is mounted at {place}, with an empty cache")
                yield place
                return
        except MissingCapability as error:
            story.say(f"{error.message}: the daemonless way is taken, a checkout")
    with open_repository(address, settings) as repository:
        plan = plan_checkout(repository.tree)
        progress = story.teller.progress()
        checkout(plan, repository.tree, repository.contents, workshop.checkout, progress=progress)
    appear(stage, workshop.checkout)
    story.say(f"{address.name} is checked out, every object verified, into {workshop.checkout}")
    yield workshop.checkout


@contextmanager
def _mounted(workshop: Workshop, address: RepositoryAddress, settings: ClientSettings) -> Iterator[Path]:
    workshop.mountpoint.mkdir(parents=True, exist_ok=True)
    with mounted(
        lambda: RepositoryTree(open_repository(address, settings)),
        workshop.mountpoint,
        source=address.name,
        log=workshop.run / "mount.log",
    ):
        yield workshop.mountpoint


def clean_environment(workshop: Workshop) -> dict[str, str]:
    """What a freshly logged-in user has, and nothing of whoever runs the demonstration."""
    return {
        "HOME": str(workshop.home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "USER": os.environ.get("USER", "user"),
    }


def run_in_clean_shell(
    workshop: Workshop, stage: Stage, source: Path, script: str, stdin: str
) -> subprocess.CompletedProcess[str]:
    """Runs the bash `script` in a shell without start-up files that sees the repository."""
    return subprocess.run(
        stage.command(source, ["bash", "--noprofile", "--norc", "-c", script]),
        env=clean_environment(workshop),
        cwd=workshop.home,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def explore(workshop: Workshop, stage: Stage, source: Path, init: PurePosixPath) -> None:
    """An interactive shell in which the stack is loaded, until the user leaves it."""
    start_file = workshop.home / ".bashrc"
    start_file.write_text(f"PS1='(outcrop demo) \\w \\$ '\nsource {init}\n")
    command = stage.command(source, ["bash", "--noprofile", "--rcfile", str(start_file), "-i"])
    subprocess.run(command, env=clean_environment(workshop), cwd=workshop.home, check=False)
