"""Proves that a relocated tree is done with its old prefix: runs a program of it under strace, and looks at every path.

Where the old prefix exists on this machine, an empty directory hides it from the program (bubblewrap), so that it
cannot work by accident. A proof is about what the program did this time; other arguments may take other ways.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from outcrop.client.relocate.leftovers import Leftover, LeftoverSearch, Source
from outcrop.client.relocate.observed import Observation, observe
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.trace.strace_run import Tracer, find_tracer
from outcrop.errors import CommandFailed, InvalidValue, MissingCapability, NotFound, storage_error
from outcrop.progress import SILENT, Progress

BUBBLEWRAP = "bwrap"
_LEFTOVERS_EXPLAINED = 20
"""A program that looks for one thing in many places asks for many paths; the first ones tell why."""

_PROBE_SECONDS = 20

_HINTS = {
    Source.VARIABLE: "run it with a clean environment: `env -u {name} …`",
    Source.OUTSIDE: "correct {name}, which belongs to this machine and not to the tree",
    Source.PIECES: "this program cannot be relocated; `outcrop run` shows it the tree below its old prefix",
}
_DEFAULT_HINT = (
    "`outcrop relocate DIR --dry-run` lists what is left as it is; `outcrop run` shows the program the tree "
    "below its old prefix"
)


class OldPrefix(Enum):
    """What the program could see at the old prefix."""

    ABSENT = "absent"
    HIDDEN = "hidden"
    VISIBLE = "visible"


@dataclass(frozen=True, slots=True)
class Proof:
    """A program ran to its good end and asked for nothing of the old prefix; `files` of the tree were found by it."""

    command: tuple[str, ...]
    old_prefix: OldPrefix
    files: int
    programs: int


def _failed(tree: Path, leftovers: Sequence[Leftover], total: int) -> CommandFailed:
    first = leftovers[0]
    who = first.program or "the program"
    more = f" (and for {total - 1:,} more paths)" if total > 1 else ""
    return CommandFailed(
        what=f"the proof that {tree} is relocated",
        problem=f"{who} still asks for {first.path}{more}, {_because(first)}",
        hint=_hint(first),
    )


def _because(leftover: Leftover) -> str:
    if not leftover.holders:
        return "and no file of the tree holds that prefix: it is put together when the program runs"
    holder = leftover.holders[0]
    return f"because {holder.name} {holder.source.value} ({holder.kind})"


def _hint(leftover: Leftover) -> str:
    if not leftover.holders:
        return _HINTS[Source.PIECES]
    holder = leftover.holders[0]
    return _HINTS.get(holder.source, _DEFAULT_HINT).format(name=holder.name)


def prove(
    command: Sequence[str],
    original: Prefix,
    tree: Path,
    *,
    output: int | None = None,
    environment: Mapping[bytes, bytes] = os.environb,
    find_program: Callable[[str], str | None] = shutil.which,
    progress: Progress = SILENT,
) -> Proof:
    """Runs `command`, which uses the relocated `tree`, and proves that it does without `original`.

    Its output goes to the open file `output` (ours, if None). Raises CommandFailed if it asks for a path of the old
    prefix, naming what still holds that, or if it fails; InvalidValue if it uses nothing of the tree, which proves
    nothing; NotFound if there is no such program; MissingCapability without strace.
    """
    tracer = _tracer(find_program)
    if find_program(command[0]) is None:
        raise NotFound(what=f"the program {command[0]}", hint=f"name one of the tree, as in {tree}/bin/PROGRAM")
    prefix_state, view = _view(original, find_program)
    with tempfile.TemporaryDirectory(prefix="outcrop-proof-") as scratch:
        calls = Path(scratch) / "calls"
        code = _run([*view, tracer.program, *tracer.options, "-o", str(calls), "--", *command], output, environment)
        observation = _observation(calls, original)
    if observation.old:
        search = LeftoverSearch(tree, original, environment, progress)
        leftovers = [search.leftover(access) for access in observation.old[:_LEFTOVERS_EXPLAINED]]
        raise _failed(tree, leftovers, len(observation.old))
    if code != 0:
        raise CommandFailed(
            what=command[0],
            problem=f"it ended with exit code {code}" if code > 0 else f"signal {-code} ended it",
            hint="it asked for nothing of the old prefix; try it by hand, or prove with another command",
        )
    below = _below(observation, tree)
    if not below:
        raise InvalidValue(
            what=f"`{command[0]}`",
            problem=f"uses nothing of {tree}, so its run proves nothing",
            hint=f"name a program of the tree by its path: {tree}/bin/PROGRAM",
        )
    return Proof(tuple(command), prefix_state, below, observation.programs)


def _tracer(find_program: Callable[[str], str | None]) -> Tracer:
    try:
        path = find_program("strace")
        if path is None:
            raise MissingCapability(what="tracing", problem="strace is not installed")
        return find_tracer(path)
    except MissingCapability as error:
        raise MissingCapability(
            what="a proof",
            problem=f"it takes strace: {error.fields['problem']}",
            hint="install strace and allow it to trace (`apt-get install strace`, `dnf install strace`; in a container "
            "`--cap-add SYS_PTRACE`), or relocate without `--prove`",
        ) from error


def _view(original: Prefix, find_program: Callable[[str], str | None]) -> tuple[OldPrefix, list[str]]:
    """What the old prefix is like for the program, and the words before its command line that make it so."""
    if not os.path.lexists(original.path):
        return OldPrefix.ABSENT, []
    program = find_program(BUBBLEWRAP)
    if program is not None:
        view = [program, "--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", str(original), "--"]
        with tempfile.TemporaryFile() as nowhere:
            try:
                trial = subprocess.run(
                    [*view, "true"], stdin=nowhere, capture_output=True, timeout=_PROBE_SECONDS, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                return OldPrefix.VISIBLE, []
        if trial.returncode == 0:
            return OldPrefix.HIDDEN, view
    return OldPrefix.VISIBLE, []


def _run(command: Sequence[str], output: int | None, environment: Mapping[bytes, bytes]) -> int:
    try:
        return subprocess.run(command, stdout=output, env=environment, check=False).returncode
    except OSError as error:
        raise storage_error(error, command[0]) from error


def _observation(calls: Path, original: Prefix) -> Observation:
    try:
        with open(calls, "rb") as lines:
            return observe(lines, os.fsencode(Path.cwd()), original)
    except OSError as error:
        raise MissingCapability(
            what="a proof", problem="strace wrote nothing down", hint="relocate without `--prove`"
        ) from error


def _below(observation: Observation, tree: Path) -> int:
    """How many files of `tree` the run found, under whatever name."""
    top = os.fsencode(tree.resolve()) + b"/"
    return sum(1 for path in observation.found if os.path.realpath(path).startswith(top))
