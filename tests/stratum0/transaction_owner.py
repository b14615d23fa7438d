"""The owner of a repository, as the scenarios of transactions need one: what he does, and what must be left of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from outcrop.cli.transaction_mounts import ClientMounts
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import OutcropError
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.transactions.lease import Leases
from outcrop.stratum0.transactions.namespace import enter_namespace_of, in_child
from outcrop.stratum0.transactions.overlay import Way
from outcrop.stratum0.transactions.transaction import OpenTransaction, PublishOutcome, Transactions
from outcrop.stratum0.transactions.transaction_record import TransactionPlace
from outcrop.stratum0.transactions.view import discard_view
from tests.stratum0.reading import entries, published_manifest

NAME = repository_name("transaction.example.org")
PATIENCE_SECONDS = 20.0


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


def restart(owner: Owner, opened: OpenTransaction) -> None:
    """What a restart of the machine does: nothing is mounted, nothing runs, the disk is as it was."""
    discard_view(owner.place(opened), ClientMounts(owner.repository))
    wait_until(lambda: not list(processes_with_mounts_below(owner.data)), "the mounts are gone")


def small_tree(top: Path) -> Path:
    (top / "base").mkdir(parents=True)
    (top / "base" / "file").write_text("base")
    return top


def started(owner: Owner, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OUTCROP_DATA_DIR": str(owner.data)}
    return subprocess.Popen(
        [sys.executable, "-m", "outcrop", "-q", "repo", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def outcrop(owner: Owner, *arguments: str, code: int = 0) -> str:
    with started(owner, *arguments) as process:
        answer, complaint = process.communicate()
        assert process.returncode == code, (arguments, process.returncode, complaint)
        return answer.decode() if code == 0 else complaint.decode()
