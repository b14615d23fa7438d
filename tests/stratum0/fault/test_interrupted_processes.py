"""A publication so large that processes make its objects is ended at some moment: it is whole or not there, and none of
its processes outlives it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.cvmfs.paths import repository_path
from outcrop.storage.directory import TEMPORARY_DIRECTORIES
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.repository import check_repository
from outcrop.stratum0.publishing.contents import ALONE_FILES
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, SEED
from tests.stratum0.reading import entries

pytestmark = [
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="on a single core no process is started"),
]

ROUNDS = 60 if IS_WHOLE else 5
FILES = 6 * ALONE_FILES
WORKER = "outcrop.stratum0.publishing.object_process"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    choice = random.Random(SEED)
    for number in range(FILES):
        directory = top / f"d{number % 40}"
        directory.mkdir(exist_ok=True)
        (directory / f"f{number}").write_bytes(choice.randbytes(choice.randrange(20_000)))
    return top


def begun(publisher: Publisher, tree: Path) -> subprocess.Popen[bytes]:
    arguments = ["repo", "ingest", NAME, str(tree), "--at", "/new"]
    environment = {**os.environ, "OUTCROP_DATA_DIR": str(publisher.directory)}
    return subprocess.Popen(
        [sys.executable, "-m", "outcrop", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def workers_of(session: int) -> list[int]:
    """The processes of the session that make objects."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                if (
                    os.getsid(int(directory.name)) == session
                    and WORKER.encode() in (directory / "cmdline").read_bytes()
                ):
                    found.append(int(directory.name))
            except OSError:
                continue  # it ended meanwhile
    return found


def ended(publisher: Publisher, tree: Path, wait: float, number: signal.Signals, *, worker: bool) -> int:
    """Lets a publication come as far as having processes, sends it or one of those the signal `wait` seconds later, and
    gives its exit status."""
    process = begun(publisher, tree)
    while not (workers := workers_of(process.pid)) and process.poll() is None:
        time.sleep(0.005)
    time.sleep(wait)
    target = random.Random(wait).choice(workers) if worker and workers else process.pid
    with suppress(ProcessLookupError):  # it may be done
        os.kill(target, number)
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors, errors.decode()
    deadline = time.monotonic() + 10
    while workers_of(process.pid):
        assert time.monotonic() < deadline, "a process outlives the publication"
        time.sleep(0.02)
    return process.returncode


@pytest.mark.parametrize(
    ("number", "worker"),
    [(signal.SIGKILL, False), (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGKILL, True)],
    ids=["kill", "ctrl-c", "term", "kill one of its processes"],
)
def test_it_is_whole_or_not_there(publisher: Publisher, tree: Path, number: signal.Signals, worker: bool) -> None:
    publisher.publish(IngestRequest(trees=(DirectoryTree(tree),), at=repository_path("/old")))
    old = set(entries(publisher.repository.store))
    new = old | {b"/new" + path.removeprefix(b"/old") for path in old if path.startswith(b"/old")}
    choice = random.Random(f"{SEED} {number} {worker}")
    for _ in range(ROUNDS):
        for path in list(publisher.directory.glob("*.contents")):
            path.unlink()
        if b"/new" in entries(publisher.repository.store):
            publisher.publish(IngestRequest(delete=(repository_path("/new"),)))
        code = ended(publisher, tree, choice.uniform(0, 1.5), number, worker=worker)
        assert code in {0, 10, 130, -number}, code
        now = set(entries(publisher.repository.store))
        # A signal that comes after the manifest was swapped ends a publication that is done.
        assert now in ((old, new) if code else (new,))
        report = check_repository(publisher.repository.store, trusted_by(publisher.repository, datetime.now(UTC)))
        assert report.is_clean, report.problems
    publisher.publish(IngestRequest(trees=(DirectoryTree(tree),), at=repository_path("/new"), message="after all"))
    left = [path for name in TEMPORARY_DIRECTORIES for path in (publisher.storage / name).rglob("*") if path.is_file()]
    assert left == []
