"""What a program sees while it is proven: the tree at its new prefix, and nothing at the old one.

A tree that is still being made lies elsewhere than it will. It is shown at its place, without taking changes, in
namespaces of the program's own, or by bubblewrap; where neither may be had, a symbolic link stands there for as long as
the proof takes. Whatever is at the old prefix on this machine is covered with an empty directory in the same way.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.containers import BUBBLEWRAP, bubblewrap_line
from outcrop.client.ladder.local_host import LocalHost, real_place
from outcrop.client.ladder.namespaces import attach_copy, enter_namespaces, show
from outcrop.client.ladder.root_plan import RootPlan, plan_root
from outcrop.client.ladder.system_calls import MountFlag, mount
from outcrop.client.ladder.trial import tried
from outcrop.client.relocate.prefix import Prefix
from outcrop.errors import InvalidValue, MissingCapability

_COMMAND = "true"
"""What bubblewrap is tried with."""


class OldPrefix(Enum):
    """What the program could see at the old prefix."""

    ABSENT = "absent"
    HIDDEN = "hidden"
    VISIBLE = "visible"


@dataclass(frozen=True, slots=True)
class View:
    """How a program comes to see what it is to see: `words` come before its command line, and `enter`, if there is one,
    is called in its process before it runs."""

    old_prefix: OldPrefix
    words: tuple[str, ...] = ()
    enter: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be seen: `tree` as `plan` says, if there is one, and an empty directory at `hidden`, if that is not
    None; to the program, the old prefix is `seen` then."""

    tree: Path
    plan: RootPlan | None
    hidden: Prefix | None
    seen: OldPrefix


FindProgram = Callable[[str], str | None]
WayToShow = Callable[[Wanted, FindProgram], View | None]
"""Makes a view of what is wanted; None where this way does not work."""


def in_namespaces(wanted: Wanted, _find_program: FindProgram) -> View | None:
    """By namespaces of the program's own."""

    def enter() -> None:
        enter_namespaces()
        if wanted.plan is not None:
            show(wanted.plan, attach_copy(wanted.tree))
        if wanted.hidden is not None:
            mount("outcrop", str(wanted.hidden), "tmpfs", MountFlag.NO_SUID | MountFlag.NO_DEVICES, "mode=0755")

    def trial() -> None:
        enter()

    return View(wanted.seen, enter=enter) if tried(trial).succeeded else None


def by_bubblewrap(wanted: Wanted, find_program: FindProgram) -> View | None:
    """By bubblewrap, which may be trusted where users have no namespaces."""
    program = find_program(BUBBLEWRAP)
    if program is None:
        return None
    if wanted.plan is None:
        line: Sequence[str] = [program, "--die-with-parent", "--dev-bind", "/", "/"]
    else:
        whole = bubblewrap_line(program, wanted.plan, wanted.tree, os.getcwd(), ())
        line = whole[: whole.index("--")]
    words = (*line, *(("--tmpfs", str(wanted.hidden)) if wanted.hidden is not None else ()), "--")
    return View(wanted.seen, words) if _runs([*words, _COMMAND]) else None


WAYS: tuple[WayToShow, ...] = (in_namespaces, by_bubblewrap)
"""In the order in which they are tried."""


@contextmanager
def view_of(
    tree: Path,
    target: Prefix | None,
    original: Prefix,
    find_program: FindProgram,
    ways: Sequence[WayToShow] = WAYS,
) -> Iterator[View]:
    """The view of a program for which `tree` lies at `target` (where it is, if None), and nothing at `original`.

    The first of `ways` that works is taken. MissingCapability where the tree cannot be shown there, not even behind a
    link. Where only the old prefix cannot be hidden, the view says so."""
    exists = os.path.lexists(original.path)
    hidden = original if os.path.isdir(original.path) else None
    as_it_is = View(OldPrefix.VISIBLE if exists else OldPrefix.ABSENT)
    if target is None and hidden is None:
        yield as_it_is
        return
    seen = OldPrefix.HIDDEN if hidden is not None else as_it_is.old_prefix
    with _mountpoint(target):
        wanted = Wanted(tree, None if target is None else _plan(target), hidden, seen)
        view = next((view for way in ways if (view := way(wanted, find_program)) is not None), None)
        if view is not None or target is None:
            yield view or as_it_is
            return
    with _link(Path(str(target)), tree):
        yield as_it_is


@contextmanager
def _mountpoint(target: Prefix | None) -> Iterator[None]:
    """Within the block there is a directory at `target`, if it can be made beside what is there.

    Without it the directory above would be made anew in memory, and programs could make no files in it: it may be
    `/tmp`."""
    made = False
    if target is not None:
        with suppress(OSError):
            os.mkdir(target.path)
            made = True
    try:
        yield
    finally:
        if made and target is not None:
            os.rmdir(target.path)


def _plan(target: Prefix) -> RootPlan:
    path = PurePosixPath(str(target))
    try:
        return plan_root(real_place(path.parent, path.name), LocalHost())
    except InvalidValue as error:
        raise InvalidValue(
            what=str(target), problem="is taken by something else here, so the tree cannot be tried at its place",
            hint="relocate to another path, or try without `--prove`",
        ) from error  # fmt: skip


def _runs(command: Sequence[str]) -> bool:
    def trial() -> None:
        code = os.spawnvp(os.P_WAIT, command[0], list(command))
        if code != 0:
            raise OSError(code, "it does not run")

    return tried(trial).succeeded


@contextmanager
def _link(place: Path, tree: Path) -> Iterator[None]:
    """`place` is a symbolic link to `tree` within the block. MissingCapability where it cannot be made."""
    try:
        place.symlink_to(tree.resolve())
    except OSError as error:
        raise MissingCapability(
            what="a proof",
            problem=f"the tree cannot be shown at {place} (no namespaces, no bubblewrap, and no link there: "
            f"{error.strerror or error})",
            hint=f"make its parent yours (`mkdir -p {shlex.quote(str(place.parent))}`), install bubblewrap, "
            "or leave the proof away",
        ) from error
    try:
        yield
    finally:
        place.unlink()
