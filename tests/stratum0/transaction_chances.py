"""What happens to transactions by chance: random edits, and kills at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from outcrop.stratum0.transactions.overlay import Way
from outcrop.stratum0.transactions.transaction import OpenTransaction
from tests.conformance.section16 import check_repository
from tests.stratum0.random_edits import RandomEdits
from tests.stratum0.transaction_owner import NAME, Owner, outcrop, restart, small_tree, started, within, write
from tests.trees import Shown, build_every_kind, shown_tree

_DELICATE_NAME = 250


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


def killed_at_any_moment(owner: Owner) -> None:
    seed = int(os.environ["OUTCROP_TEST_SEED"])
    moments = random.Random(seed)
    took = {"transaction": 2.0, "publish": 2.0, "abort": 1.0}
    owner.ingest(small_tree(owner.directory / "tree"))
    for attempt in range(int(os.environ["OUTCROP_TEST_ROUNDS"])):
        _kill(owner, took, moments, "transaction", "--path", "/build", "--by", owner.way.value)
        if not owner.transactions.names():
            outcrop(owner, "transaction", NAME, "--path", "/build", "--by", owner.way.value)
        status = owner.transactions.statuses()[0]
        if not status.is_mounted or status.record is None or status.record.way is None:
            outcrop(owner, "abort", NAME, "--all")
            owner.require_nothing_left()
            outcrop(owner, "transaction", NAME, "--path", "/build", "--by", owner.way.value)
        opened = owner.transactions.resume(owner.transactions.the_one(None))
        within(opened, write(f"build/{attempt}/file", str(attempt)))
        if attempt % 2:
            before, revision = owner.paths(), owner.revision
            _kill(owner, took, moments, "publish")
            if owner.transactions.names():
                outcrop(owner, "publish", NAME)
            assert owner.revision == revision + 1
            assert owner.paths() == before | {"/build", f"/build/{attempt}", f"/build/{attempt}/file"}
        else:
            before, revision = owner.paths(), owner.revision
            _kill(owner, took, moments, "abort")
            if owner.transactions.names():
                outcrop(owner, "abort", NAME, "--all")
            assert (owner.paths(), owner.revision) == (before, revision)
        owner.require_nothing_left()


def _kill(owner: Owner, took: dict[str, float], moments: random.Random, verb: str, *options: str) -> None:
    began = time.monotonic()
    with started(owner, verb, NAME, *options) as process:
        try:
            process.wait(moments.uniform(0.3, 1.1) * took[verb])
            took[verb] = time.monotonic() - began
        except subprocess.TimeoutExpired:
            process.kill()
