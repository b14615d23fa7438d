"""What happens to transactions while sandboxes live: processes in namespaces of their own, with copies of the view that
do not go when the view goes. One function a scenario."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from outcrop.errors import Busy
from outcrop.stratum0.transactions.overlay import Way
from outcrop.stratum0.transactions.transaction import OpenTransaction
from tests.stratum0.transaction_owner import Owner, refusal, wait_until, within, write

SANDBOXES = {
    "of this user": ("unshare", "--mount", "--propagation", "private"),
    "whose user does not own its mounts": ("unshare", "--mount", "--propagation", "private", "unshare", "--user"),
    "that the kernel locks": ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"),
    "that receives what is unmounted": ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "slave"),
}
_IDLE = ("sh", "-c", "cd / && echo ready && exec sleep 60")
_MAPPING = """
import mmap, os, sys, time
with open(sys.argv[1], "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 0)
os.chdir("/")
print("ready", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def sandbox(opened: OpenTransaction, kind: str, command: Sequence[str] = _IDLE) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs in a sandbox, made where the view shows."""
    enter = [] if opened.inside is None else ["nsenter", "-t", str(opened.inside), "-U", "-m", "--preserve-credentials"]
    with subprocess.Popen([*enter, *SANDBOXES[kind], *command], cwd="/", stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n", kind
        try:
            yield program
        finally:
            program.kill()


def idle_sandboxes_keep_nobody_from_publishing(owner: Owner) -> None:
    published = set()
    for number, kind in enumerate(SANDBOXES):
        opened = owner.open()
        within(opened, write(f"file{number}"))
        published.add(f"/file{number}")
        with sandbox(opened, kind):
            owner.publish(opened)
            assert owner.transactions.names() == []
        assert owner.paths() == published, kind
    owner.require_nothing_left()


def sandboxes_keep_nobody_from_aborting(owner: Owner) -> None:
    for kind in SANDBOXES:
        opened = owner.open()
        within(opened, write("file"))
        script = f"exec 3>>{opened.view}/held; cd {opened.view}; echo ready; exec sleep 60"
        with sandbox(opened, kind, ("sh", "-c", script)):
            owner.transactions.abort(opened.record.name)
            assert owner.transactions.names() == [], kind
    assert owner.paths() == set()
    owner.require_nothing_left()


def work_in_a_sandbox_is_named_before_anything_is_taken_away(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("file"))
    works = (f"exec 3>>{opened.view}/held", f"cd {opened.view}")
    for kind, work in zip(SANDBOXES, 2 * works, strict=True):
        with sandbox(opened, kind, ("sh", "-c", f"{work}; echo ready; exec sleep 60")) as program:
            error = refusal(lambda: owner.publish(opened))
            assert isinstance(error, Busy), (kind, error)
            assert f"process {program.pid}" in str(error), (kind, error)
            within(opened, write("afterwards", kind))
        wait_until(lambda: program.poll() is not None, "the program has ended")
    owner.publish(opened)
    assert owner.paths() == {"/file", "/held", "/afterwards"}
    owner.require_nothing_left()


def file_that_a_sandbox_may_still_change_is_not_published(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("file"))
    with sandbox(opened, "that the kernel locks", (sys.executable, "-c", _MAPPING, f"{opened.view}/file")) as program:
        error = refusal(lambda: owner.publish(opened))
        assert isinstance(error, Busy), error
        assert f"process {program.pid}" in str(error)
        within(opened, write("afterwards"))
    owner.publish(opened)
    assert owner.paths() == {"/file", "/afterwards"}
    owner.require_nothing_left()


def view_that_only_a_sandbox_still_shows_is_published(owner: Owner) -> None:
    if owner.way is Way.NAMESPACE:
        return  # There the view shows in one namespace, and no other makes up for it.
    opened = owner.open()
    within(opened, write("file"))
    with sandbox(opened, "that the kernel locks"):
        subprocess.run(["umount", opened.view], check=True)
        owner.publish(opened)
    assert owner.paths() == {"/file"}
    owner.require_nothing_left()
