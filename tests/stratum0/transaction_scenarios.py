"""What happens to transactions with real mounts: one function a scenario, run by `test_transaction` in namespaces of
its own. Each gets an empty directory, and the way in which views are made."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath, repository_path
from outcrop.errors import Busy, InvalidValue, NotFound, OutcropError
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.incoming_directory import DirectoryTree
from outcrop.stratum0.ingest import IngestRequest, ingest
from outcrop.stratum0.lease import Leases
from outcrop.stratum0.namespace import enter_namespace_of, in_child
from outcrop.stratum0.overlay import PROGRAM, Way
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.transaction import OpenTransaction, PublishOutcome, Transactions
from outcrop.stratum0.transaction_record import TransactionPlace
from outcrop.stratum0.view import discard_view
from tests.conformance.section16 import check_repository
from tests.stratum0.random_edits import RandomEdits
from tests.stratum0.reading import entries, published_manifest
from tests.trees import Shown, build_every_kind, shown_tree

NAME = repository_name("transaction.example.org")
PATIENCE_SECONDS = 20.0
_PR_SET_DUMPABLE = 4
_DELICATE_NAME = 250


class Owner:
    """Who owns the repository, and opens transactions one way."""

    def __init__(self, directory: Path, way: Way) -> None:
        self.directory = directory
        self.way = way
        self.data = directory / "data"

    @property
    def repository(self) -> OwnedRepository:
        return OwnedRepository.open(self.data, NAME)

    @property
    def transactions(self) -> Transactions:
        return Transactions(self.repository, ClientMounts(self.repository))

    @property
    def revision(self) -> int:
        return published_manifest(self.repository.store).revision

    def create(self) -> None:
        self.data.mkdir(parents=True)
        settings = RepositorySettings(name=NAME, storage=str(self.directory / "storage" / NAME))
        create_repository(plan_creation(self.data, settings, Metainfo()), datetime.now(UTC))

    def ingest(self, tree: Path, at: str = "/") -> None:
        ingest(
            self.repository, IngestRequest(trees=(DirectoryTree(tree),), at=repository_path(at)), now=datetime.now(UTC)
        )

    def open(self, path: str = "/", at: Path | None = None) -> OpenTransaction:
        return self.transactions.open(repository_path(path), datetime.now(UTC), only=self.way, at=at)

    def publish(self, opened: OpenTransaction) -> PublishOutcome:
        return self.transactions.publish(opened.record.name, IngestRequest(), datetime.now(UTC))

    def place(self, opened: OpenTransaction) -> TransactionPlace:
        return self.transactions.place(opened.record.name)

    def paths(self) -> set[str]:
        return {path.decode("utf-8", "surrogateescape") for path in entries(self.repository.store)}

    def require_nothing_left(self) -> None:
        """No mount, no transaction, no lease, and soon no process."""
        assert self.transactions.names() == []
        assert Leases(self.data, NAME).all() == []
        assert list((self.data / f"{NAME}.transactions").iterdir()) == []
        wait_until(lambda: not list(processes_with_mounts_below(self.data)), "nothing is mounted any more")


def processes_with_mounts_below(directory: Path) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{directory}/".encode() in (process / "mountinfo").read_bytes():
                yield int(process.name)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it never happened that {what}"
        time.sleep(0.02)


def within(opened: OpenTransaction, work: Callable[[Path], None]) -> None:
    """Runs `work` where the view shows."""

    def inside() -> None:
        if opened.inside is not None:
            enter_namespace_of(opened.inside)
        work(opened.view)

    in_child(inside)


def write(relative: str, text: str = "x") -> Callable[[Path], None]:
    def work(view: Path) -> None:
        (view / relative).parent.mkdir(parents=True, exist_ok=True)
        (view / relative).write_text(text)

    return work


def refusal(work: Callable[[], object]) -> OutcropError:
    try:
        work()
    except OutcropError as error:
        return error
    raise AssertionError("it was not refused")


@contextlib.contextmanager
def using(opened: OpenTransaction) -> Iterator[subprocess.Popen[bytes]]:
    """A program works in the view."""
    enter = [] if opened.inside is None else ["nsenter", "-t", str(opened.inside), "-U", "-m", "--preserve-credentials"]
    script = f"cd {opened.view} && echo ready && exec sleep 60"
    with subprocess.Popen([*enter, "sh", "-c", script], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        try:
            yield program
        finally:
            program.kill()


def random_edits_are_published_as_they_are_made(owner: Owner) -> None:
    """The same edits are made in the view and in a plain copy, and the next revision is the copy."""
    seed = int(os.environ["OUTCROP_TEST_SEED"])
    copy = _tree_of_every_kind(owner)
    for number in range(int(os.environ["OUTCROP_TEST_ROUNDS"])):
        opened = owner.open()

        def edit(view: Path, number: int = number, opened: OpenTransaction = opened) -> None:
            lower = owner.place(opened).lower
            _compare(shown_tree(lower), shown_tree(copy), f"round {number}: the last one was not published as it was")
            RandomEdits(view, copy, choice=random.Random(seed + number)).run(25)
            _compare(_without_links(view), _without_links(copy), f"round {number}: the view is not what was edited")

        within(opened, edit)
        owner.publish(opened)
    _require_clean(owner)


def random_edits_are_published_as_they_are_seen(owner: Owner) -> None:
    """What a new view of the same changes shows is what the next revision is: an overlay has faults of its own."""
    seed = int(os.environ["OUTCROP_TEST_SEED"])
    _tree_of_every_kind(owner)
    seen: dict[bytes, Shown] = {}
    for number in range(int(os.environ["OUTCROP_TEST_ROUNDS"])):
        opened = owner.open()
        if number:
            published = _without_links(owner.place(opened).lower)
            _compare(published, seen, f"round {number}: the last one was not published as it was seen")
        RandomEdits(opened.view, choice=random.Random(seed + number), forgiving=True).run(25)
        restart(owner, opened)
        seen = _without_links(owner.transactions.resume(opened.record.name).view)
        owner.publish(opened)
    _require_clean(owner)


def _tree_of_every_kind(owner: Owner) -> Path:
    """A tree that is published, but for what may not come in."""
    top = owner.directory / "copy"
    build_every_kind(top)
    for path in sorted(top.rglob("*")):
        # fuse-overlayfs 1.10 ends when a special file or the longest name is changed.
        delicate = path.is_fifo() or path.is_socket() or len(path.name) > _DELICATE_NAME
        if path.name in ("null", "loop") or (owner.way is Way.FUSE and delicate):
            path.unlink()
        elif not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o755 | 0o600)
    for path in (top / "special", top):
        os.utime(path, ns=(0, 1_500_000_000 * 10**9))
    owner.ingest(top)
    return top


def _require_clean(owner: Owner) -> None:
    key = (owner.data / f"{NAME}.pub").read_bytes()
    assert check_repository(owner.directory / "storage" / NAME, [key], NAME, now=datetime.now(UTC)) == []
    owner.require_nothing_left()


def _without_links(top: Path) -> dict[bytes, Shown]:
    """Overlays do not count the directories in a directory, and give the names of one file numbers of their own."""
    return {path: replace(one, links=0, same_file_as=b"") for path, one in shown_tree(top).items()}


def _compare(shown: dict[bytes, Shown], wanted: dict[bytes, Shown], what: str) -> None:
    different = {path for path in shown.keys() | wanted.keys() if shown.get(path) != wanted.get(path)}
    lines = [f"{path!r}: {shown.get(path)} instead of {wanted.get(path)}" for path in sorted(different)[:3]]
    assert not different, f"{what}; {len(different)} differ: {'; '.join(lines)}"


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


def restart(owner: Owner, opened: OpenTransaction) -> None:
    """What a restart of the machine does: nothing is mounted, nothing runs, the disk is as it was."""
    discard_view(owner.place(opened), ClientMounts(owner.repository))
    wait_until(lambda: not list(processes_with_mounts_below(owner.data)), "the mounts are gone")


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


def killed_at_any_moment(owner: Owner) -> None:
    seed = int(os.environ["OUTCROP_TEST_SEED"])
    moments = random.Random(seed)
    took = {"transaction": 2.0, "publish": 2.0, "abort": 1.0}
    owner.ingest(_small_tree(owner.directory / "tree"))
    for attempt in range(int(os.environ["OUTCROP_TEST_ROUNDS"])):
        _kill(owner, took, moments, "transaction", "--path", "/work", "--by", owner.way.value)
        if not owner.transactions.names():
            _outcrop(owner, "transaction", NAME, "--path", "/work", "--by", owner.way.value)
        status = owner.transactions.statuses()[0]
        if not status.is_mounted or status.record is None or status.record.way is None:
            _outcrop(owner, "abort", NAME, "--all")
            owner.require_nothing_left()
            _outcrop(owner, "transaction", NAME, "--path", "/work", "--by", owner.way.value)
        opened = owner.transactions.resume(owner.transactions.the_one(None))
        within(opened, write(f"work/{attempt}/file", str(attempt)))
        if attempt % 2:
            before, revision = owner.paths(), owner.revision
            _kill(owner, took, moments, "publish")
            if owner.transactions.names():
                _outcrop(owner, "publish", NAME)
            assert owner.revision == revision + 1
            assert owner.paths() == before | {"/work", f"/work/{attempt}", f"/work/{attempt}/file"}
        else:
            before, revision = owner.paths(), owner.revision
            _kill(owner, took, moments, "abort")
            if owner.transactions.names():
                _outcrop(owner, "abort", NAME, "--all")
            assert (owner.paths(), owner.revision) == (before, revision)
        owner.require_nothing_left()


def _small_tree(top: Path) -> Path:
    (top / "base").mkdir(parents=True)
    (top / "base" / "file").write_text("base")
    return top


def _command(owner: Owner, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OUTCROP_DATA_DIR": str(owner.data)}
    return subprocess.Popen(
        [sys.executable, "-m", "outcrop", "-q", "repo", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _outcrop(owner: Owner, *arguments: str, code: int = 0) -> str:
    with _command(owner, *arguments) as process:
        answer, complaint = process.communicate()
        assert process.returncode == code, (arguments, process.returncode, complaint)
        return answer.decode() if code == 0 else complaint.decode()


def _kill(owner: Owner, took: dict[str, float], moments: random.Random, verb: str, *options: str) -> None:
    began = time.monotonic()
    with _command(owner, verb, NAME, *options) as process:
        try:
            process.wait(moments.uniform(0.3, 1.1) * took[verb])
            took[verb] = time.monotonic() - began
        except subprocess.TimeoutExpired:
            process.kill()


def command_runs_in_the_view_and_its_exit_code_is_the_answer(owner: Owner) -> None:
    script = "pwd; echo $OUTCROP_VIEW; mkdir new; echo x > new/file; exit 7"
    options = ("--path", "/work", "--by", owner.way.value)
    owner.ingest(_small_tree(owner.directory / "tree"), at="/work")
    assert "is no such command" in _outcrop(owner, "transaction", NAME, *options, "--", "no such command", code=127)
    _outcrop(owner, "abort", NAME)
    with _command(owner, "transaction", NAME, *options, "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        place, view = process.stdout.read().decode().splitlines()
        assert process.wait() == 7
    assert place == f"{view}/work"
    (listed,) = json.loads(_outcrop(owner, "transaction", NAME, "--list", "--json"))
    assert (listed["path"], listed["stage"], listed["mounted"]) == ("/work", "open", True)
    assert listed["transaction"] in _outcrop(owner, "transaction", NAME, "--list")
    again = _outcrop(owner, "transaction", NAME, "--resume", listed["transaction"], "--", "cat", "new/file")
    assert again == "x\n"
    busy = _outcrop(owner, "transaction", NAME, "--path", "/work/base", "--dry-run", code=8)
    assert listed["holder"] in busy
    assert "+ /work/new/file" in _outcrop(owner, "publish", NAME, "--dry-run")
    published = json.loads(_outcrop(owner, "publish", NAME, "-m", "by a command", "--tag", "first", "--json"))
    assert (published["published"], published["added"]) == (True, 2)
    assert "/work/new/file" in owner.paths()
    owner.require_nothing_left()


def command_is_published_if_it_ends_well(owner: Owner) -> None:
    options = ("--by", owner.way.value, "--publish", "--", "sh", "-c")
    _outcrop(owner, "transaction", NAME, *options, "echo x > kept")
    _outcrop(owner, "transaction", NAME, *options, "echo x > lost; exit 3", code=3)
    assert owner.paths() == {"/kept"}
    owner.require_nothing_left()


def view_shows_where_it_is_asked_for(owner: Owner) -> None:
    place = owner.directory / "größer, schöner: weiter"
    place.mkdir()
    opened = json.loads(_outcrop(owner, "transaction", NAME, "--by", owner.way.value, "--at", str(place), "--json"))
    assert opened["view"] == str(place)
    assert opened["visible"] == (owner.way is not Way.NAMESPACE)
    assert os.path.ismount(place) == opened["visible"]
    (place / "occupied").mkdir(parents=True, exist_ok=True)
    assert "is in use by" in _outcrop(owner, "transaction", NAME, "--by", owner.way.value, code=8)
    _outcrop(owner, "abort", NAME)
    assert not os.path.ismount(place)
    owner.require_nothing_left()


def all_are_aborted(owner: Owner) -> None:
    for path in ("/a", "/b"):
        _outcrop(owner, "transaction", NAME, "--by", owner.way.value, "--path", path)
    assert "is one of 2" in _outcrop(owner, "abort", NAME, code=1)
    planned = _outcrop(owner, "abort", NAME, "--all", "--dry-run")
    assert planned.count("would be thrown away") == 2
    assert len(owner.transactions.names()) == 2
    assert len(json.loads(_outcrop(owner, "abort", NAME, "--all", "--json"))) == 2
    assert "no open transaction" in _outcrop(owner, "abort", NAME, "--all")
    owner.require_nothing_left()


def as_a_user(directory: Path, way: Way) -> None:
    """A user who is not root, where the device of FUSE is open to all."""
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
    tree = _small_tree(owner.directory / "tree")
    (tree / "gone" / "deep").mkdir(parents=True)
    owner.ingest(tree)
    opened = owner.open()
    within(opened, edit)
    owner.publish(opened)
    found = entries(owner.repository.store)
    assert set(found) == {b"/base", b"/base/file", b"/new", b"/new/file"}
    assert found[b"/new"].uid == 0
    owner.require_nothing_left()


def best_way_is_found_by_trying(owner: Owner) -> None:
    opened = owner.transactions.open(RepositoryPath(ROOT), datetime.now(UTC))
    within(opened, write("file"))
    owner.publish(opened)
    assert owner.paths() == {"/file"}
    owner.require_nothing_left()


def main() -> None:
    scenario, directory, way = sys.argv[1:]
    work = globals()[scenario]
    if scenario == "as_a_user":
        work(Path(directory), Way(way))
        return
    owner = Owner(Path(directory), Way(way))
    owner.create()
    work(owner)


if __name__ == "__main__":
    main()
