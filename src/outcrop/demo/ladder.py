"""The ladder on one machine: with all that it allows, with FUSE forbidden, with namespaces forbidden too.

A repository with a real program is published and served on loopback. On each of the machines, `outcrop doctor` says
what works, `outcrop run` takes the best way, and then every way that there is gets its turn. They are the commands that
a user types, and each runs the same program. Everything is in a directory of its own, which goes at the end.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.client.ladder.ways import Way
from outcrop.demo.confinement import Lack, check_possible, confined
from outcrop.demo.ladder_software import ANSWER, LADDER_REPOSITORY, PROGRAM, write_software
from outcrop.demo.serving import served
from outcrop.demo.workshop import Workshop, remove_tree
from outcrop.errors import CommandFailed, MissingCapability, storage_error

_SECONDS = 180
"""No command takes a tenth of it on a machine that is well."""

_OF_OTHER_RUNS = ("OUTCROP_", "XDG_")
"""What would lead our commands to the user's own settings."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as the demonstration pretends it."""

    title: str
    lacks: tuple[Lack, ...] = ()


MACHINES = (
    Machine("this machine as it is"),
    Machine("FUSE is forbidden", (Lack.FUSE,)),
    Machine("FUSE and namespaces are forbidden", (Lack.FUSE, Lack.NAMESPACES)),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way on a machine: whether the program ran by it, and why not."""

    way: Way
    works: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a machine showed. `taken` is None where it could not be pretended, for the reason `impossible`."""

    machine: Machine
    taken: Way | None
    attempts: tuple[Attempt, ...]
    output: str = ""
    impossible: str = ""


class LadderTeller(Protocol):
    """Listens to the demonstration."""

    def begin(self, title: str) -> None:
        """A part begins."""

    def command(self, line: str) -> None:
        """This command line is run now."""

    def answer(self, text: str) -> None:
        """This is what it said."""

    def say(self, text: str) -> None:
        """A plain sentence."""


def plan() -> tuple[str, ...]:
    """The parts, in order."""
    return ("a repository with a program, published and served", *(machine.title for machine in MACHINES))


def show_ladder(teller: LadderTeller) -> tuple[Shown, ...]:
    """The whole ladder on every machine; CommandFailed where the program does not run on one of them."""
    with _workshop() as workshop:
        commands = _Commands(workshop.directory, teller)
        teller.begin(plan()[0])
        _publish(workshop, commands)
        with served(workshop, LADDER_REPOSITORY, 0) as url:
            source = _Source(url, workshop.data / f"{LADDER_REPOSITORY}.pub")
            return tuple(_shown(machine, source, commands, teller) for machine in MACHINES)


@dataclass(frozen=True, slots=True)
class _Source:
    """The repository's address, and the key that proves it."""

    url: str
    key: Path

    def run(self, *options: str) -> list[str]:
        return ["run", *options, "--key", str(self.key), self.url, "--", *PROGRAM]


@contextmanager
def _workshop() -> Iterator[Workshop]:
    """A directory with a short name: relocated copies lie in it, and must not be longer than what they replace."""
    try:
        directory = Path(tempfile.mkdtemp(prefix="o", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
    except OSError as error:
        raise storage_error(error) from error
    try:
        for name in ("t", "home"):
            (directory / name).mkdir()
        yield Workshop(directory)
    finally:
        remove_tree(directory)


class _Commands:
    """Runs command lines of `outcrop` with directories of their own, and tells of them."""

    def __init__(self, directory: Path, teller: LadderTeller) -> None:
        self._directory = directory
        self._teller = teller

    @property
    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHER_RUNS)}
        return {
            **kept,
            "HOME": str(self._directory / "home"),
            "TMPDIR": str(self._directory / "t"),
            "OUTCROP_DATA_DIR": str(self._directory / "data"),
            "OUTCROP_CVMFS_ETC": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(
        self, arguments: Sequence[str], lacks: Sequence[Lack] = (), *, told: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """What becomes of `outcrop ARGUMENTS` on a machine with these `lacks`."""
        if told:
            self._teller.command(shlex.join(["outcrop", *arguments]))
        try:
            return subprocess.run(
                confined(lacks, [sys.executable, "-m", "outcrop", *arguments]),
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                what=f"outcrop {arguments[0]}", problem=f"it did not end within {_SECONDS} seconds",
                hint="look at the machine's load, and report this if it is well",
            ) from error  # fmt: skip

    def succeed(self, arguments: Sequence[str]) -> None:
        """Runs it, and raises CommandFailed where it fails."""
        done = self.run(arguments)
        if done.returncode != 0:
            raise _failed(arguments, done)


def _failed(arguments: Sequence[str], done: subprocess.CompletedProcess[str]) -> CommandFailed:
    return CommandFailed(
        what=f"outcrop {arguments[0]}",
        problem=f"exit code {done.returncode}: {_reason(done.stderr) or done.stdout.strip()}",
        hint="`outcrop doctor` says what this machine allows",
    )


def _publish(workshop: Workshop, commands: _Commands) -> None:
    tree = workshop.directory / "tree"
    write_software(tree)
    commands.succeed(["repo", "create", LADDER_REPOSITORY, "--storage", str(workshop.storage)])
    commands.succeed(["repo", "ingest", LADDER_REPOSITORY, str(tree), "--at", "/"])
    remove_tree(tree)


def _shown(machine: Machine, source: _Source, commands: _Commands, teller: LadderTeller) -> Shown:
    teller.begin(machine.title)
    try:
        check_possible(machine.lacks)
    except MissingCapability as error:
        teller.say(f"{error.message}, so this part is left out")
        return Shown(machine, None, (), impossible=error.message)
    doctor = commands.run(["doctor", "--key", str(source.key), source.url], machine.lacks)
    teller.answer(doctor.stdout)
    best = commands.run(source.run("--explain"), machine.lacks)
    teller.answer(best.stderr + best.stdout)
    if not _ran(best):
        raise _failed(["run"], best)
    answer = commands.run(source.run("--dry-run", "--json"), machine.lacks, told=False)
    taken = Way(json.loads(answer.stdout)["way"])
    attempts = tuple(_attempt(way, machine, source, commands) for way in Way)
    return Shown(machine, taken, attempts, best.stdout)


def _attempt(way: Way, machine: Machine, source: _Source, commands: _Commands) -> Attempt:
    done = commands.run(source.run("--way", way.value), machine.lacks, told=False)
    if _ran(done):
        return Attempt(way, works=True)
    return Attempt(way, works=False, reason=_reason(done.stderr) or f"exit code {done.returncode}")


def _ran(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the program came to a good end, with the right answer."""
    return done.returncode == 0 and ANSWER in done.stdout


def _reason(complaint: str) -> str:
    """The sentence of an error, without its hint."""
    lines = [line.removeprefix("error: ") for line in complaint.splitlines() if line.startswith("error: ")]
    return lines[-1] if lines else complaint.strip().rpartition("\n")[2]
