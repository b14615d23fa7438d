"""Proves that a relocated tree is done with its old prefix: runs a program of it under strace, and looks at every path.

The program sees the tree at its new prefix and nothing at the old one, so that it cannot work by accident. A proof is
about what the program did this time; other arguments may take other ways.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from outcrop.client.relocate.leftovers import Leftover, LeftoverSearch, Source
from outcrop.client.relocate.observed import Observation, OldAccess, observe
from outcrop.client.relocate.old_links import OldLinks
from outcrop.client.relocate.placed_tree import PlacedTree
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.proof_view import OldPrefix, View, view_of
from outcrop.errors import CommandFailed, InvalidValue, MissingCapability, NotFound, storage_error
from outcrop.progress import SILENT, Progress
from outcrop.strace.run import Tracer, find_tracer

_LEFTOVERS_EXPLAINED = 20
"""A program that looks for one thing in many places asks for many paths; the first ones tell why."""

_HINTS = {
    Source.VARIABLE: "run it with a clean environment: `env -u {name} …`",
    Source.OUTSIDE: "correct {name}, which belongs to this machine and not to the tree",
    Source.PIECES: "this program cannot be relocated; `outcrop run` shows it the tree below its old prefix",
}
_DEFAULT_HINT = (
    "`outcrop relocate DIR --dry-run` lists what is left as it is; `outcrop run` shows the program the tree "
    "below its old prefix"
)


@dataclass(frozen=True, slots=True)
class Proof:
    """A program ran to its good end and asked for nothing of the old prefix; `files` of the tree were found by it."""

    command: tuple[str, ...]
    old_prefix: OldPrefix
    files: int
    programs: int


def _failed(tree: str, leftovers: Sequence[Leftover], total: int) -> CommandFailed:
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
    target: Prefix | None = None,
    output: int | None = None,
    environment: Mapping[bytes, bytes] = os.environb,
    find_program: Callable[[str], str | None] = shutil.which,
    progress: Progress = SILENT,
) -> Proof:
    """Runs `command`, which uses the relocated `tree`, and proves that it does without `original`.

    A tree that is not where it was relocated to is shown there, at `target`, for as long as the proof takes. The
    program's output goes to the open file `output` (ours, if None). Raises CommandFailed if it asks for a path of the
    old prefix, naming what still holds that, if it fails, or if it changes a tree that is not at its place yet;
    InvalidValue if it uses nothing of the tree, which proves nothing; NotFound if there is no such program;
    MissingCapability without strace, or where the tree cannot be shown at `target`.
    """
    tracer = _tracer(find_program)
    elsewhere = target if target is not None and not _is_at(tree, target) else None
    placed = PlacedTree(tree, elsewhere)
    program = os.fsdecode(placed.real(os.fsencode(command[0]))) if "/" in command[0] else command[0]
    if find_program(program) is None:
        raise NotFound(what=f"the program {command[0]}", hint=f"name one of the tree, as in {placed}/bin/PROGRAM")
    before = _fingerprint(tree) if elsewhere else ""
    with (
        tempfile.TemporaryDirectory(prefix="outcrop-proof-") as scratch,
        view_of(tree, elsewhere, original, find_program) as view,
    ):
        calls = Path(scratch) / "calls"
        line = [*view.words, tracer.program, *tracer.options, "-o", str(calls), "--", *command]
        code = _run(line, output, environment, view)
        observation = _observation(calls, original)
    old = [*observation.old, *_behind_links(observation, placed, original)]
    if old:
        search = LeftoverSearch(placed, original, environment, progress)
        leftovers = [search.leftover(access) for access in old[:_LEFTOVERS_EXPLAINED]]
        raise _failed(str(placed), leftovers, len(old))
    if code != 0:
        raise CommandFailed(
            what=command[0],
            problem=f"it ended with exit code {code}" if code > 0 else f"signal {-code} ended it",
            hint="it asked for nothing of the old prefix; try it by hand, or prove with another command",
        )
    if elsewhere and _fingerprint(tree) != before:
        raise CommandFailed(
            what=command[0],
            problem=f"it changed something in {placed} while it was proven",
            hint="prove with a command that only reads; PYTHONDONTWRITEBYTECODE=1 keeps Python from writing bytecode",
        )
    below = sum(1 for path in observation.found if placed.holds(path))
    if not below:
        raise InvalidValue(
            what=f"`{command[0]}`",
            problem=f"uses nothing of {placed}, so its run proves nothing",
            hint=f"name a program of the tree by its path: {placed}/bin/PROGRAM",
        )
    return Proof(tuple(command), view.old_prefix, below, observation.programs)


def _behind_links(observation: Observation, placed: PlacedTree, original: Prefix) -> Iterator[OldAccess]:
    """What was asked for by way of links of the tree that lead to the old prefix."""
    links = OldLinks(placed, original)
    for path, access in observation.asked.items():
        led = links.on_the_way(path)
        if led is not None:
            yield replace(access, path=led)


def _is_at(tree: Path, target: Prefix) -> bool:
    place = Path(str(target))
    return place.exists() and place.samefile(tree)


def _fingerprint(tree: Path) -> str:
    """What changes as soon as anything in `tree` is written to."""
    state = hashlib.sha256()
    for directory, names, files in os.walk(os.fsencode(tree)):
        names.sort()
        for name in (b".", *sorted(files)):
            status = os.lstat(os.path.join(directory, name))
            state.update(b"%d %d %d;" % (status.st_ino, status.st_size, status.st_ctime_ns))
    return state.hexdigest()


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


def _run(command: Sequence[str], output: int | None, environment: Mapping[bytes, bytes], view: View) -> int:
    try:
        # No other thread of ours is at work here, so the child may do more than run the program.
        return subprocess.run(
            command, stdout=output, env=environment, check=False, preexec_fn=view.enter
        ).returncode  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        problem = error if isinstance(error, OSError) else OSError(0, "it could not enter its namespaces")
        raise storage_error(problem, command[0]) from error


def _observation(calls: Path, original: Prefix) -> Observation:
    try:
        with open(calls, "rb") as lines:
            return observe(lines, os.fsencode(Path.cwd()), original)
    except OSError as error:
        raise MissingCapability(
            what="a proof", problem="strace wrote nothing down", hint="relocate without `--prove`"
        ) from error
