"""What happens to transactions with real mounts: one function a scenario, run by `private_views.play` in namespaces of
its own. Each gets the owner of an empty repository, who makes views one way. More are in `transaction_chances`,
`transaction_commands` and `transaction_sandboxes`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.errors import Busy, InvalidValue, NotFound
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.transactions.namespace import in_child
from outcrop.stratum0.transactions.overlay import PROGRAM, Way
from outcrop.stratum0.transactions.view import discard_view
from tests.stratum0 import transaction_chances, transaction_commands, transaction_sandboxes
from tests.stratum0.reading import entries
from tests.stratum0.transaction_owner import (
    NAME,
    Owner,
    processes_with_mounts_below,
    refusal,
    restart,
    small_tree,
    using,
    wait_until,
    within,
    write,
)

_PR_SET_DUMPABLE = 4


def disjoint_writers_go_ahead_and_overlapping_ones_wait(owner: Owner) -> None:
    first, second = owner.open("/a"), owner.open("/b")
    for path in ("/a", "/a/deep/er", "/"):
        error = refusal(partial(owner.open, path))
        assert isinstance(error, Busy)
        assert first.record.holder in str(error)
    within(first, write("a/one", "1"))
    within(second, write("b/two", "2"))
    owner.publish(second)
    third = owner.open("/b")
    within(third, write("b/three", "3"))
    owner.publish(first)
    owner.publish(third)
    assert owner.paths() == {"/a", "/a/one", "/b", "/b/two", "/b/three"}
    owner.open("/a/deep")
    owner.transactions.abort(owner.transactions.the_one(None))
    owner.require_nothing_left()


def view_in_use_is_not_published_and_users_are_named(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("file"))
    before = owner.revision
    with using(opened) as program:
        error = refusal(lambda: owner.publish(opened))
        assert isinstance(error, Busy), error
        assert f"process {program.pid}" in str(error)
        assert owner.revision == before
        within(opened, write("another"))
    wait_until(lambda: program.poll() is not None, "the program has ended")
    owner.publish(opened)
    assert owner.paths() == {"/file", "/another"}
    owner.require_nothing_left()


def view_in_use_is_aborted(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("file"))
    with using(opened):
        outcome = owner.transactions.abort(opened.record.name)
        assert outcome.changes == 1
        assert owner.transactions.names() == []
    owner.require_nothing_left()
    assert owner.paths() == set()


def changes_outside_are_refused_with_their_names(owner: Owner) -> None:
    opened = owner.open("/mine")
    within(opened, write("mine/file"))
    within(opened, write("theirs/file"))
    error = refusal(lambda: owner.publish(opened))
    assert isinstance(error, InvalidValue)
    assert "/theirs" in str(error)
    within(opened, lambda view: shutil.rmtree(view / "theirs"))
    owner.publish(opened)
    assert owner.paths() == {"/mine", "/mine/file"}
    owner.require_nothing_left()


def after_a_restart_it_is_published_resumed_or_aborted(owner: Owner) -> None:
    opened = owner.open("/a")
    within(opened, write("a/one"))
    restart(owner, opened)
    resumed = owner.transactions.resume(opened.record.name)
    within(resumed, lambda view: _require((view / "a" / "one").read_text() == "x"))
    within(resumed, write("a/two"))
    again = owner.transactions.resume(opened.record.name)
    assert again.inside == resumed.inside
    restart(owner, opened)
    owner.publish(opened)
    assert owner.paths() == {"/a", "/a/one", "/a/two"}
    lost = owner.open()
    within(lost, write("lost"))
    restart(owner, lost)
    owner.transactions.abort(lost.record.name)
    assert owner.paths() == {"/a", "/a/one", "/a/two"}
    owner.require_nothing_left()


def _require(condition: bool) -> None:
    assert condition


def view_whose_server_is_killed_is_resumed(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("kept"))
    servers = [one for one in processes_with_mounts_below(owner.data) if _program(one).startswith(("python", PROGRAM))]
    for process in set(servers) - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    resumed = owner.transactions.resume(opened.record.name)
    within(resumed, write("more"))
    owner.publish(resumed)
    assert owner.paths() == {"/kept", "/more"}
    owner.require_nothing_left()


def _program(process: int) -> str:
    try:
        return os.path.basename(os.readlink(f"/proc/{process}/exe"))
    except OSError:
        return ""


def abort_works_without_a_record_or_with_a_damaged_one(owner: Owner) -> None:
    for damage in ("missing", "damaged", "directory gone", "lease damaged"):
        opened = owner.open(at=_new_directory(owner.directory / f"view {damage}"))
        within(opened, write("file"))
        place = owner.place(opened)
        if damage == "missing":
            place.record.unlink()
        elif damage == "damaged":
            place.record.write_bytes(b"{\0")
        elif damage == "lease damaged":
            (owner.data / f"{NAME}.leases" / f"{place.name}.transaction").write_bytes(b"")
        else:
            discard_view(place, ClientMounts(owner.repository))
            shutil.rmtree(place.directory)
        assert owner.transactions.names() == [place.name]
        owner.transactions.statuses()
        outcome = owner.transactions.abort(place.name)
        assert outcome.changes == (0 if damage == "directory gone" else 1), damage
        assert not os.path.ismount(owner.directory / f"view {damage}")
        owner.require_nothing_left()
    assert isinstance(refusal(lambda: owner.transactions.the_one(None)), NotFound)


def _new_directory(path: Path) -> Path:
    path.mkdir()
    return path


def published_again_after_the_switch_makes_no_second_revision(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("d/file"))
    upper = owner.directory / "upper"
    name = opened.record.name
    subprocess.run(["cp", "-a", owner.place(opened).directory, upper], check=True)
    owner.publish(opened)
    revision = owner.revision
    # As if it had been killed right after the manifest was swapped.
    upper.rename(owner.place(opened).directory)
    outcome = owner.transactions.publish(name, IngestRequest(), datetime.now(UTC))
    assert outcome.ingested is not None
    assert not outcome.ingested.published
    assert (outcome.revision, owner.revision) == (revision, revision)
    owner.require_nothing_left()


def owners_are_kept(owner: Owner) -> None:
    tree = owner.directory / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "old").write_text("old")
    for path in (tree / "d", tree / "d" / "old"):
        os.chown(path, 1234, 5678)
    owner.ingest(tree)
    opened = owner.open()
    within(opened, write("d/old", "changed"))
    within(opened, write("d/new", "new"))
    owner.publish(opened)
    found = entries(owner.repository.store)
    assert {(found[path].uid, found[path].gid) for path in (b"/d", b"/d/old")} == {(1234, 5678)}
    assert (found[b"/d/new"].uid, found[b"/d/new"].gid) == (0, 0)


def dry_run_changes_nothing(owner: Owner) -> None:
    opened = owner.open()
    within(opened, write("file"))
    before = set((owner.directory / "storage").rglob("*"))
    planned = owner.transactions.plan(opened.record.name, IngestRequest(), datetime.now(UTC))
    assert [change.path for change in planned.summary.changes] == [b"/file"]
    assert set((owner.directory / "storage").rglob("*")) == before
    assert owner.transactions.abort(opened.record.name, dry_run=True).changes == 1
    within(opened, write("more"))
    owner.publish(opened)
    assert owner.paths() == {"/file", "/more"}
    owner.require_nothing_left()


def as_a_user(owner: Owner) -> None:
    """A user who is not root, where the device of FUSE is open to all."""
    directory, way = owner.directory, owner.way
    device = directory / "fuse"
    subprocess.run(["mknod", device, "c", "10", "229"], check=True)
    device.chmod(0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)
    # pytest keeps its directories to root alone. In this namespace nobody else sees what is on /mnt.
    subprocess.run(["mount", "--bind", directory, "/mnt"], check=True)
    subprocess.run(["chown", "-R", "65534:65534", directory], check=True)
    directory.chmod(0o755)

    def work() -> None:
        os.setgid(65534)
        os.setuid(65534)
        # What a new program would be: one whose files in /proc are its own.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)
        os.environ["HOME"] = "/mnt/home"
        _edit_and_publish(Owner(Path("/mnt"), way))

    # Python itself may be root's alone: what is imported on the way, root has imported here.
    _edit_and_publish(Owner(directory / "first", way))
    in_child(work)


def _edit_and_publish(owner: Owner) -> None:
    def edit(view: Path) -> None:
        (view / "base" / "file").write_text("changed")
        (view / "base" / "file").chmod(0o600)
        shutil.rmtree(view / "gone")
        (view / "new").mkdir()
        (view / "new" / "file").write_text("new")

    owner.create()
    tree = small_tree(owner.directory / "tree")
    (tree / "gone" / "deep").mkdir(parents=True)
    owner.ingest(tree)
    opened = owner.open()
    within(opened, edit)
    owner.publish(opened)
    found = entries(owner.repository.store)
    assert set(found) == {b"/base", b"/base/file", b"/new", b"/new/file"}
    assert found[b"/new"].uid == 0
    best_way_is_found_by_trying(owner)


def best_way_is_found_by_trying(owner: Owner) -> None:
    opened = owner.transactions.open(RepositoryPath(ROOT), datetime.now(UTC))
    within(opened, write("file"))
    owner.publish(opened)
    assert "/file" in owner.paths()
    owner.require_nothing_left()


def main() -> None:
    name, directory, way = sys.argv[1:]
    scenarios = {**vars(transaction_chances), **vars(transaction_commands), **vars(transaction_sandboxes), **globals()}
    owner = Owner(Path(directory), Way(way))
    if name != as_a_user.__name__:
        owner.create()
    scenarios[name](owner)


if __name__ == "__main__":
    main()
